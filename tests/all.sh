#!/usr/bin/env bash
# All set-up and all tests, as CI runs them: formatting, lints, tests, doc tests, and the journey on real machines.
# Can be run again; needs root (or sudo) and a Rust toolchain, installs the rest (tests/lab/deps.sh says what).
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n=== %s (%s)\n' "$1" "$(date -u +%T)"; }

step "Set-up"
tests/lab/deps.sh

step "Formatting"
cargo fmt --check

step "Lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
shellcheck -x "${scripts[@]}"

step "Tests"
cargo test --workspace --locked
