#!/usr/bin/env bash
# Makes all that a journey of the ring needs and can't get from inside the lab, and prints where it lies: `NAME=PATH`.
#
#   tests/real/prepare.sh JOURNEY KUBESPRAY   KUBESPRAY is a git repository (a folder or an address) with the ring's releases
#
# Only the programs that the journey needs are built. The programs, the guests' image, the folder that is served to the guests, a copy of the
# Kubespray releases, and their Python packages. All of it is taken from the lab's cache where it is there already.

. "$(dirname "$0")/../lab/common.sh"

# What fails in a $(...) ends the script, too: else half a copy would be taken for a whole one by the next run.
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
cache=$KUBITECT_LAB_CACHE/real
address=192.168.120.1:5000
table=$here/../../kubitect-config/data/kubespray-releases.yaml
# What kube-proxy and flannel call, on top of Debian's smallest system.
BASE=(iptables ipset conntrack kmod)
# What they don't need, half of it: a guest takes a second for each two megabytes of an image.
NEEDLESS=(/var/lib/apt /var/cache '/usr/share/perl*' '/usr/bin/perl*' '/usr/lib/*/perl*' '/usr/lib/*/gconv' /usr/share/locale)
PYTHON=/usr/bin/python3
# Keeps one Python running in each guest, where Ansible starts one for each task: most of a task's time where machines are emulated.
MITOGEN=0.3.54
MITOGEN_DIGEST=ed7f209225069cbbe0c2f25ec5e4cd88e43bcb7ae0d55c61850083c96b81591d

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

# A folder with Mitogen, from its wheel.
mitogen() {
  local target work
  target=$cache/mitogen-$MITOGEN
  if [ ! -d "$target" ]; then
    say "fetching Mitogen"
    work=$(mktemp -d "$cache/new.XXXXXX")
    echo "mitogen==$MITOGEN --hash=sha256:$MITOGEN_DIGEST" >"$work/requirements.txt"
    $PYTHON -m venv "$work/venv"
    "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: --no-deps \
      --requirement "$work/requirements.txt" --target "$work/packages" >&2
    chmod -R a+rX "$work/packages"
    mv -T "$work/packages" "$target"
    rm -rf "$work"
  fi
  echo "$target"
}

# changed PATH SCRIPT : a file of $release in git's index, by a script of sed; it fails if nothing changes.
changed() {
  local before after
  before=$(git rev-parse "$release:$1")
  after=$(git cat-file blob "$before" | sed "$2" | git hash-object -w --stdin)
  [ "$after" != "$before" ] || die "Kubespray $release: $1 is not as expected"
  git update-index --cacheinfo "100644,$after,$1"
}

# with_mitogen REPOSITORY : a copy of it whose releases differ by Ansible's strategy.
with_mitogen() {
  local target work release tree packages
  packages=$(mitogen)
  target=$1-by-mitogen-$MITOGEN-python3
  if [ ! -d "$target" ]; then
    work=$(mktemp -d "$cache/kubespray/new.XXXXXX")
    git clone --quiet --bare "$1" "$work" >&2
    for release in "${releases[@]}"; do
      export GIT_DIR=$work GIT_INDEX_FILE=$work/ring-index
      git read-tree "$release"
      # Until facts are gathered, Mitogen looks for a Python at each task, unless it is named: 5 to 15 s each.
      changed ansible.cfg "/^\[defaults\]/a strategy = mitogen_linear\nstrategy_plugins = $packages/ansible_mitogen/plugins/strategy\ninterpreter_python = $PYTHON"
      # The one play that names a strategy.
      changed playbooks/internal_facts.yml 's/strategy: linear$/strategy: mitogen_linear/'
      tree=$(git write-tree)
      git tag --force "$release" "$(git -c user.name=ring -c user.email=ring@kubitect.invalid commit-tree -m "$release by Mitogen" "$tree")" >&2
      unset GIT_DIR GIT_INDEX_FILE
      rm "$work/ring-index"
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
  local target root
  target=$cache/base-$(echo "${BASE[*]} bookworm without ${NEEDLESS[*]}" | sha256sum | cut -c 1-16).tar
  if [ ! -e "$target" ]; then
    say "making the images' Debian"
    rm -rf "$target.new"
    # The hook gets the new root as its $1; without it, nothing of this machine's is removed.
    # shellcheck disable=SC2016
    root='"${1:?}"'
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private -- \
      timeout --foreground 1500 mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$(IFS=, && echo "${BASE[*]}")" \
      --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook="rm -rf ${NEEDLESS[*]/#/$root}" \
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
echo "wheels=$(wheels "$repository")"
# The first plays are run by each release's own Ansible alone: old ones are not Mitogen's.
[ "$journey" = plays ] || repository=$(with_mitogen "$repository")
echo "kubespray=$repository"
image=$("$LAB_DIR/image.sh" --extra "$here/image")
echo "image=${image% sha256:*}"
echo "checksum=sha256:${image##* sha256:}"
if ((${#SETS[@]})); then
  programs=$("$here/programs.sh" "${SETS[@]}")
  mapfile -t sets <<<"${programs// /=}"
  made=$(base)
  echo "served=$(packed "$made" "${sets[@]}")"
fi
