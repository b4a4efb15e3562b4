#!/usr/bin/env bash
# The journey of a living cluster on real machines: nodes come and go, a master is lost, a machine grows, Kubernetes is
# upgraded. Sets up what it needs, as tests/all.sh does; takes some 20 minutes after the first build.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/lab/deps.sh
cargo test --locked -p tests --features lab --test e2e --no-run
name=living
home=$(mktemp -d /var/tmp/kubitect-living.XXXXXX)
lab() { tests/lab/lab.sh --name "$name" "$@"; }
finish() {
  lab down || true
  rm -rf -- "$home"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
lab down
lab up --owner $$
tests/lab/site.sh "$home"
lab exec -- env KUBITECT_IN_LAB=1 KUBITECT_HOME="$home" HOME="$home" \
  CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" CARGO_NET_OFFLINE=true \
  cargo test --locked -p tests --features lab --test e2e -- --nocapture --test-threads=1 change::
