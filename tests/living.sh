#!/usr/bin/env bash
# The whole journey on real machines. The example with its seven machines, from nothing to nothing. Living clusters: nodes and
# balancers come and go, a master is lost, a machine grows, Kubernetes is upgraded by two releases. Runs on another that are
# killed again and again. Sets up what it needs, as tests/all.sh does; takes an hour or more where machines are emulated.
# KUBITECT_JOURNEY_FROM=STEP skips to a step, in a lab in which an earlier run left its cluster.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/lab/deps.sh
tests/lab/test.sh living --locked --workspace --features tests/lab --test e2e -- --nocapture --test-threads=1 journey::the_main_job change:: \
  kill::killed_while_it_changes
