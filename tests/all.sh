#!/usr/bin/env bash
# All set-up and all tests, as CI runs them: formatting, lints, tests, doc tests, and the journey on real machines.
# Can be run again; needs root (or sudo) and a Rust toolchain, installs the rest (tests/lab/deps.sh says what).
set -euo pipefail
cd "$(dirname "$0")/.."

# Each step says when it begins, and how long those before it took: whoever sees only the end of a long output wants to know.
step() { printf '\n=== %s (%s, after %s s)\n' "$1" "$(date -u +%T)" "$SECONDS"; }

step "Set-up"
tests/lab/deps.sh

step "Formatting"
cargo fmt --check

step "Lints"
cargo clippy --workspace --all-targets --features tests/lab --locked -- -D warnings
# What is built where libvirt's library is missing.
cargo clippy -p kubitect-cli --no-default-features --features program --locked -- -D warnings
mapfile -t scripts < <(git ls-files '*.sh' .ci/run tests/lab/bin)
shellcheck --external-sources --source-path=SCRIPTDIR "${scripts[@]}"

step "Dependencies"
# Advisories come from a repository of their own, which not every place can reach; licences and sources need nothing.
if ! command -v cargo-deny >/dev/null; then
  echo "NOT CHECKED: cargo-deny is not installed (cargo install --locked cargo-deny)"
elif cargo deny fetch db >/dev/null 2>&1; then
  cargo deny check
else
  echo "NOT CHECKED: advisories, whose database can't be had here"
  cargo deny check bans licenses sources
fi

step "Tests"
# Runs are killed at each point here, but not each time that one is passed: see docs/testing.md.
export KUBITECT_TEST_SHORT=1
cargo test --workspace --locked

step "The stand-in for Kubespray"
python3 -B -m unittest discover --start-directory tests/stand-in/test

step "The ring with the real Kubespray: what it serves (tests/real.sh itself is run by hand)"
python3 -B -m unittest discover --start-directory tests/real/test

step "The journey on real machines"
# A small cluster. The example with its seven machines and what living clusters go through have a command of their own
# (tests/living.sh), since they take long.
tests/lab/test.sh ci --locked --workspace --features tests/lab --test e2e --test hypervisor -- \
  --nocapture --test-threads=1 --skip change:: --skip journey::the_main_job --skip kill::killed_while_it_changes \
  --skip speed::

step "All tests passed."
