#!/usr/bin/env bash
# Makes all that a journey of the ring needs and can't get from inside the lab, and prints where it lies: `NAME=PATH`.
#
#   tests/real/prepare.sh JOURNEY KUBESPRAY   KUBESPRAY is a git repository (a folder or an address) with the ring's releases
#
# Only the programs that the journey needs are built. The programs, the guests' image, the folder that is served to the guests, a copy of the
# Kubespray releases, and their Python packages. All of it is taken from the lab's cache where it is there already.

. "$(dirname "$0")/../lab/common.sh"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=$KUBITECT_LAB_CACHE/real
address=192.168.120.1:5000
table=$here/../../kubitect-config/data/kubespray-releases.yaml
# What kube-proxy and flannel call, on top of Debian's smallest system.
BASE=(iptables ipset conntrack kmod)
PYTHON=/usr/bin/python3

journey=${1:-}
kubespray=${2:-}
if [ -z "$kubespray" ] || (($# > 2)); then
  die "usage: ${0##*/} JOURNEY KUBESPRAY"
fi
releases=("$(<"$here/release")")
SETS=(small runc etcd cri-tools cni-plugins cni-flannel containerd flannel coredns kubernetes-1.34)
case $journey in
  life) SETS+=(metrics-server kubernetes-1.35) ;;
  kills) SETS+=(kubernetes-1.35) ;;
  plays)
    mapfile -t releases < <(cut -d ' ' -f 1 "$here/first-plays")
    SETS=()
    ;;
esac
become_root "$@"
mkdir -p "$cache"

# libseccomp's headers, for runc; nothing of it runs here.
if ((${#SETS[@]})) && [ ! -e /usr/include/seccomp.h ]; then
  say "installing libseccomp-dev"
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 install -y --no-install-recommends libseccomp-dev >&2
fi

# A bare repository with the releases alone.
copy() {
  local target work release
  target=$cache/kubespray/$(IFS=- && echo "${releases[*]}")-$(sha256sum <<<"$kubespray" | cut -c 1-16)
  if [ ! -d "$target" ]; then
    mkdir -p "$cache/kubespray"
    work=$(mktemp -d "$cache/kubespray/new.XXXXXX")
    git init --quiet --bare "$work"
    for release in "${releases[@]}"; do
      say "fetching Kubespray $release from $kubespray"
      git -c safe.directory='*' -C "$work" fetch --quiet --depth 1 "$kubespray" "refs/tags/$release:refs/tags/$release" >&2
    done
    chmod 0755 "$work"
    mv -T "$work" "$target"
  fi
  echo "$target"
}

# requirements REPOSITORY RELEASE FOLDER : what a release asks for, without what the product leaves out on the newest Python.
requirements() {
  # In old releases it is a link to another one.
  git -C "$1" archive "$2" ':(glob)requirements*.txt' | tar --extract --directory "$3"
  sed -n "s/.*tag: \"$2\".* unpin: \[\([^]]*\)\].*/\1/p" "$table" | { grep -o '[^", ]\+' || true; } >"$3/left-out"
  grep --invert-match --fixed-strings --file="$3/left-out" "$3/requirements.txt" >"$3/$2.txt"
}

# wheels REPOSITORY : a folder with the Python packages that the releases ask for, those without wheels built.
wheels() {
  local folder release target work
  folder=$(mktemp -d)
  for release in "${releases[@]}"; do
    requirements "$1" "$release" "$folder"
  done
  target=$cache/wheels-$({
    $PYTHON --version
    cat "$folder"/v*.txt
  } | sha256sum | cut -c 1-16)
  if [ ! -d "$target" ]; then
    say "fetching Kubespray's Python packages"
    work=$(mktemp -d "$cache/new.XXXXXX")
    $PYTHON -m venv "$work/venv"
    for release in "${releases[@]}"; do
      "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check wheel --requirement "$folder/$release.txt" \
        --wheel-dir "$work/wheels" >&2
    done
    chmod -R a+rX "$work/wheels"
    mv -T "$work/wheels" "$target"
    rm -rf "$work"
  fi
  rm -rf "$folder"
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
if ((${#SETS[@]})); then
  programs=$("$here/programs.sh" "${SETS[@]}")
  mapfile -t sets <<<"${programs// /=}"
  made=$(base)
  echo "served=$(packed "$made" "${sets[@]}")"
fi
