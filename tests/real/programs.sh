#!/usr/bin/env bash
# Builds the real programs of the ring from Go modules, static, and prints where they lie: `SET /path`.
#
#   tests/real/programs.sh SET...   folders of programs/
#
# Each folder there is a main module of ours: its go.mod names the version (of Kubernetes one for each end of the upgrade),
# its go.sum what was downloaded. What is built lies in the lab's cache, by the digest of the folder, of this file and of
# Go's version. Kubernetes takes 12 minutes for each version on two cores that do nothing else.

. "$(dirname "$0")/../lab/common.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
built=$KUBITECT_LAB_CACHE/real/programs
CNI=github.com/containernetworking/plugins/plugins

# version MODULE FOLDER : as its go.mod names it.
version() {
  local found
  found=$(awk -v module="$1" '$1 == "require" {$1 = ""; $0 = $0} $1 == module && $2 != "=>" {print $2; exit}' "$here/programs/$2/go.mod")
  [ -n "$found" ] || die "$here/programs/$2/go.mod does not name a version of $1"
  echo "$found"
}

# packages SET : what is built of it, one a line.
packages() {
  case $1 in
    small | flannel) echo ./... ;;
    runc) echo github.com/opencontainers/runc ;;
    etcd) printf 'go.etcd.io/etcd/%s/v3\n' server etcdctl etcdutl ;;
    cri-tools) echo sigs.k8s.io/cri-tools/cmd/crictl ;;
    cni-plugins)
      printf "$CNI/main/%s\n" bridge dummy host-device ipvlan loopback macvlan ptp tap vlan
      printf "$CNI/ipam/%s\n" dhcp host-local static
      printf "$CNI/meta/%s\n" bandwidth firewall portmap sbr tuning vrf
      ;;
    cni-flannel) echo "$CNI/meta/flannel" ;;
    containerd) printf 'github.com/containerd/containerd/v2/cmd/%s\n' containerd containerd-shim-runc-v2 ctr ;;
    coredns) echo github.com/coredns/coredns ;;
    metrics-server) echo sigs.k8s.io/metrics-server/cmd/metrics-server ;;
    kubernetes-*) printf 'k8s.io/kubernetes/cmd/%s\n' kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy ;;
    *) die "programs/$1 is not known here" ;;
  esac
}

# link SET : the linker's settings, which tell a program its version.
link() {
  local found package
  printf -- '-s -w'
  case $1 in
    runc) printf -- ' -extldflags=-static' ;;
    cri-tools) printf -- ' -X sigs.k8s.io/cri-tools/pkg/version.Version=%s' "$(version sigs.k8s.io/cri-tools "$1")" ;;
    containerd)
      printf -- ' -X github.com/containerd/containerd/v2/version.Version=%s' "$(version github.com/containerd/containerd/v2 "$1")"
      ;;
    kubernetes-*)
      found=$(version k8s.io/kubernetes "$1")
      for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- " -X $package.%s=%s" gitVersion "$found" gitMajor 1 gitMinor "$(cut -d . -f 2 <<<"$found")" gitTreeState clean
      done
      ;;
  esac
}

# build SET : builds it if need be, and prints its line.
build() {
  local set=$1 digest target work began=$SECONDS listed
  digest=$({
    go env GOVERSION GOARCH
    cat "$here/programs.sh"
    cd "$here/programs/$set" && find . -type f | LC_ALL=C sort | xargs cat
  } | sha256sum | cut -c 1-16)
  target=$built/$set-$digest
  if [ ! -d "$target" ]; then
    say "building $set"
    mapfile -t listed < <(packages "$set")
    work=$(mktemp -d "$built/new.XXXXXX")
    local cgo=0 tags=''
    if [ "$set" = runc ]; then
      cgo=1 tags=seccomp,netgo,osusergo
    fi
    (cd "$here/programs/$set" && GOFLAGS='' GOWORK=off CGO_ENABLED=$cgo go build -mod=readonly -trimpath -buildvcs=false -tags "$tags" \
      -ldflags "$(link "$set")" -o "$work/" "${listed[@]}" >&2) || {
      rm -rf "$work"
      die "$set could not be built"
    }
    chmod 0755 "$work"
    mv -T "$work" "$target"
    say "built $set in $((SECONDS - began)) s"
  fi
  touch "$target"
  echo "$set $target"
}

command -v go >/dev/null || die "go is missing: this ring builds with Go (see tests/real/README.md)"
mkdir -p "$built"
exec 9>"$built.lock"
flock -w 7200 9 || die "another build of the programs has been running for two hours"
rm -rf "$built"/new.*
find "$built" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
(($#)) || die "usage: ${0##*/} SET..."
for set; do
  build "$set"
done
