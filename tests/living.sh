#!/usr/bin/env bash
# The journey of a living cluster on real machines: nodes come and go, a master is lost, a machine grows, Kubernetes is
# upgraded; then another that grows is killed again and again. Sets up what it needs, as tests/all.sh does; takes some 30
# minutes after the first build.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/lab/deps.sh
tests/lab/test.sh living --locked -p tests --features lab --test e2e -- --nocapture --test-threads=1 change:: \
  kill::killed_while_it_changes
