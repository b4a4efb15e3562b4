#!/usr/bin/env bash
# Makes all that a journey of the ring needs and can't get from inside the lab, and prints where it lies: `NAME=PATH`.
#
#   tests/real/prepare.sh JOURNEY KUBESPRAY   KUBESPRAY is a git repository (a folder or an address) with the ring's release
#
# Only the programs that the journey needs are built. The programs, the guests' image, the folder that is served to the guests, a copy of the Kubespray release, and its Python
# packages. All of it is taken from the lab's cache where it is there already.

. "$(dirname "$0")/../lab/common.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=$KUBITECT_LAB_CACHE/real
address=192.168.120.1:5000
release=$(<"$here/release")
# What kube-proxy and flannel call, on top of Debian's smallest system.
BASE=(iptables ipset conntrack kmod)
PYTHON=/usr/bin/python3

journey=${1:-}
kubespray=${2:-}
if [ -z "$kubespray" ] || (($# > 2)); then
  die "usage: ${0##*/} JOURNEY KUBESPRAY"
fi
SETS=(small runc etcd cri-tools cni-plugins cni-flannel containerd flannel coredns kubernetes-1.34)
case $journey in
  life) SETS+=(metrics-server kubernetes-1.35) ;;
  kills) SETS+=(kubernetes-1.35) ;;
esac
become_root "$@"
mkdir -p "$cache"

# libseccomp's headers, for runc; nothing of it runs here.
if [ ! -e /usr/include/seccomp.h ]; then
  say "installing libseccomp-dev"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends libseccomp-dev >&2
fi

# A bare repository with the release alone.
copy() {
  local target work
  target=$cache/kubespray/$release-$(sha256sum <<<"$kubespray" | cut -c 1-16)
  if [ ! -d "$target" ]; then
    say "fetching Kubespray $release from $kubespray"
    mkdir -p "$cache/kubespray"
    work=$(mktemp -d "$cache/kubespray/new.XXXXXX")
    git init --quiet --bare "$work"
    git -c safe.directory='*' -C "$work" fetch --quiet --depth 1 "$kubespray" "refs/tags/$release:refs/tags/$release" >&2
    chmod 0755 "$work"
    mv -T "$work" "$target"
  fi
  echo "$target"
}

# wheels REPOSITORY : a folder with the Python packages that the release asks for.
wheels() {
  local requirements target work
  requirements=$(mktemp)
  git -C "$1" show "$release:requirements.txt" >"$requirements"
  target=$cache/wheels-$({
    $PYTHON --version
    cat "$requirements"
  } | sha256sum | cut -c 1-16)
  if [ ! -d "$target" ]; then
    say "fetching Kubespray's Python packages"
    work=$(mktemp -d "$cache/new.XXXXXX")
    $PYTHON -m venv "$work/venv"
    "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check download --only-binary :all: \
      --requirement "$requirements" --dest "$work/wheels" >&2
    chmod -R a+rX "$work/wheels"
    mv -T "$work/wheels" "$target"
    rm -rf "$work"
  fi
  rm -f "$requirements"
  echo "$target"
}

# A tar of the system that kube-proxy's and flannel's images begin with.
base() {
  local target
  target=$cache/base-$(echo "${BASE[*]} bookworm" | sha256sum | cut -c 1-16).tar
  if [ ! -e "$target" ]; then
    say "making the images' Debian"
    rm -rf "$target.new"
    # The hook gets the new root as its $1.
    # shellcheck disable=SC2016
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private -- \
      timeout --foreground 1500 mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$(IFS=, && echo "${BASE[*]}")" \
      --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
      bookworm "$target.new" ${KUBITECT_LAB_MIRROR:+"$KUBITECT_LAB_MIRROR"} </dev/null >&2 9>&-
    mv "$target.new" "$target"
  fi
  echo "$target"
}

# packed BASE SET=FOLDER... : the folder that is served.
packed() {
  local base=$1 target work
  shift
  target=$cache/served/$({
    echo "$address" "$base" "$@"
    cat "$here/pack.py" "$here"/programs/*/go.mod
  } | sha256sum | cut -c 1-16)
  if [ ! -d "$target" ]; then
    say "packing files and images"
    mkdir -p "$cache/served"
    # A lab that was left up may still serve another.
    find "$cache/served" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
    work=$(mktemp -d "$cache/served/new.XXXXXX")
    $PYTHON -B "$here/pack.py" "$work" "$address" "$base" "$@"
    mv -T "$work" "$target"
  fi
  echo "$target"
}

repository=$(copy)
echo "kubespray=$repository"
echo "wheels=$(wheels "$repository")"
image=$("$LAB_DIR/image.sh" --extra "$here/image")
echo "image=${image% sha256:*}"
echo "checksum=sha256:${image##* sha256:}"
programs=$("$here/programs.sh" "${SETS[@]}")
mapfile -t sets <<<"${programs// /=}"
made=$(base)
echo "served=$(packed "$made" "${sets[@]}")"
