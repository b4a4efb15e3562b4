#!/usr/bin/env bash
# The real Kubespray and the real Kubernetes, driven by the product on emulated machines: one journey, and a table of its steps.
#
#   tests/real.sh life|masters|replace|exchange|kills|plays [--kubespray REPOSITORY] [--keep] [--from STEP] [--only STEP] [--list]
#
# REPOSITORY is a git repository of Kubespray, a folder or an address; by default the public one. --keep leaves the lab
# up, --from and --only take up what an earlier run has left. As root (or with sudo), with Rust and Go; takes hours where
# machines are emulated, and is not part of CI: see docs/testing.md for when to run it, and tests/real/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

name=real
home=/var/tmp/kubitect-real
repository=https://github.com/kubernetes-sigs/kubespray.git
keep=no
resumed=no
arguments=()
usage() {
  echo "usage: tests/real.sh life|masters|replace|exchange|kills|plays [--kubespray REPOSITORY] [--keep] [--from STEP] [--only STEP] [--list]" >&2
  exit 2
}

(($#)) || usage
journey=$1
shift
case $journey in life | masters | replace | exchange | kills | plays) ;; *) usage ;; esac
while (($#)); do
  case $1 in
    --keep) keep=yes ;;
    --list) exec python3 -B tests/real/journey.py "$journey" --list ;;
    --kubespray)
      repository=${2:-}
      [ -n "$repository" ] || usage
      shift
      ;;
    --from | --only)
      [ -n "${2:-}" ] || usage
      arguments+=("$1" "$2")
      resumed=yes
      shift
      ;;
    *) usage ;;
  esac
  shift
done
if [ "$(id -u)" != 0 ]; then
  exec sudo --preserve-env -- env "PATH=$PATH" "HOME=$HOME" bash "$0" "$journey" --kubespray "$repository" \
    "$([ "$keep" = yes ] && echo --keep)" "${arguments[@]}"
fi

lab() { tests/lab/lab.sh --name "$name" "$@"; }
step() { printf '\n=== %s (%s)\n' "$1" "$(date -u +%T)"; }

step "Set-up"
tests/lab/deps.sh
prepared=$(tests/real/prepare.sh "$journey" "$repository")
declare -A made
while IFS='=' read -r key value; do
  made[$key]=$value
done <<<"$prepared"
cargo build --locked -p kubitect-cli
program=$(cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/debug/kubitect

running=
finish() {
  local code=$?
  # It ends what it has started.
  if [ -n "$running" ]; then
    kill "$running" 2>/dev/null || true
    wait "$running" || true
  fi
  if [ "$keep" = yes ]; then
    echo "the lab '$name' stays up: tests/lab/lab.sh --name $name exec -- env KUBITECT_HOME=$home $program status --cluster real"
  else
    # What is served ends with the lab.
    lab down || code=1
    rm -rf -- "$home"
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$resumed" = no ]; then
  lab down
  rm -rf -- "$home"
fi
# However this script ends, the lab does.
if [ "$keep" = yes ]; then
  lab up
else
  lab up --owner $$
fi
# A control plane needs both its processors: on one thread `kubeadm init` takes twice as long (tests/lab/bin/qemu-system-x86_64).
lab exec -- touch /etc/libvirt/a-thread-for-each-processor
mkdir -p "$home"
# JSON is YAML.
jq -n --arg image "${made[image]}" --arg checksum "${made[checksum]}" --arg url "${made[kubespray]}" --arg wheels "${made[wheels]}" '{
  virtType: "qemu",
  images: {debian12: {source: $image, checksum: $checksum}},
  kubespray: {url: $url, python: "/usr/bin/python3", forks: 2},
  pip: {findLinks: $wheels}
}' >"$home/site.yaml"

step "The journey: $journey"
# Files and images, for the guests, where the journey has some; ends with the lab. One that an earlier run has left serves on.
if [ -n "${made[served]:-}" ] && ! lab exec -- curl --silent --fail --max-time 5 --output /dev/null http://127.0.0.1:5000/v2/; then
  lab exec -- setsid python3 -B tests/real/serve.py "${made[served]}" 5000 </dev/null >/dev/null 2>"$home/serve.log" &
fi
# In the background, so that a signal is heeded at once; not by the function, whose shell would end without the journey.
tests/lab/lab.sh --name "$name" exec -- env KUBITECT_HOME="$home" HOME="$home" RING_HOME="$home" RING_PROGRAM="$program" RING_SERVED="${made[served]:-}" \
  python3 -B tests/real/journey.py "$journey" "${arguments[@]}" &
running=$!
wait "$running"
