#!/usr/bin/env bash
# The demo: sets everything up and makes the multi-master example on real virtual machines in the lab, then asks the
# cluster for its nodes through the balancer. `tests/demo.sh down` takes the machines, the lab and its home away again; packages
# and the guests' image stay.
# Can be run again; needs root (or sudo) and a Rust toolchain, installs the rest (tests/lab/deps.sh says what).
set -euo pipefail
cd "$(dirname "$0")/.."

name=demo
home=/var/tmp/kubitect-demo
cluster=local-k8s-cluster
lab() { tests/lab/lab.sh --name "$name" "$@"; }
# A home of its own: the known_hosts and the kubeconfig of whoever runs this stay as they are.
inside() { lab exec -- env HOME="$home" KUBITECT_HOME="$home" "$@"; }
say() { printf '\n=== %s\n' "$*"; }

case "${1:-up}" in
up) ;;
down)
  lab down
  # Root wrote what is in it.
  rm -rf -- "$home" 2>/dev/null || sudo rm -rf -- "$home"
  exit 0
  ;;
*)
  echo "usage: tests/demo.sh [up|down]" >&2
  exit 2
  ;;
esac

say "Set-up: packages, the program, the guests' image, the lab"
tests/lab/deps.sh --demo
cargo build --release --locked -p kubitect-cli
target=$(cargo metadata --format-version 1 --no-deps | jq -r .target_directory)
kubitect=$target/release/kubitect
lab up
tests/lab/site.sh "$home"

say "kubitect apply --config examples/multi-master.yaml --auto-approve"
inside "$kubitect" apply --config examples/multi-master.yaml --auto-approve

say "kubitect plan --config examples/multi-master.yaml"
inside "$kubitect" plan --config examples/multi-master.yaml

say "kubectl get nodes, through the balancer"
kubeconfig=$home/clusters/$cluster/config/admin.conf
inside grep server: "$kubeconfig"
inside kubectl --kubeconfig "$kubeconfig" get nodes

cat <<EOT

The cluster is up. Look around:

  tests/lab/lab.sh --name $name exec -- env KUBITECT_HOME=$home kubectl --kubeconfig $kubeconfig get nodes -o wide
  tests/lab/lab.sh --name $name exec -- virsh list
  tests/demo.sh down                     takes the machines, the lab and the demo's home away again

These machines are real, the network and libvirt around them are the lab's own, and Kubernetes is the lab's stand-in,
because the lab works without internet. On a machine with libvirt and internet the same file makes the same cluster
with the real Kubespray and Ubuntu's cloud image:

  $kubitect apply --config examples/multi-master.yaml
EOT
