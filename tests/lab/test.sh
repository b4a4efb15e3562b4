#!/bin/bash
# Runs `cargo test` in a lab of its own, with a site file in a fresh folder; whatever happens, both go afterwards.
#
#   tests/lab/test.sh NAME ARGUMENT...   the lab's name, and cargo's arguments (up to a `--`, also used to build first)

. "$(dirname "$0")/common.sh"

name=$1
shift
arguments=("$@")
for ((count = 0; count < $#; count++)); do
  [ "${arguments[count]}" != -- ] || break
done
cd "$LAB_DIR/../.."
cargo test "${arguments[@]:0:count}" --no-run

home=$(mktemp -d "/var/tmp/kubitect-$name.XXXXXX")
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
# No network in there: all that cargo needs is here already.
lab exec -- env KUBITECT_IN_LAB=1 KUBITECT_HOME="$home" HOME="$home" \
  CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" CARGO_NET_OFFLINE=true \
  cargo test "$@"
