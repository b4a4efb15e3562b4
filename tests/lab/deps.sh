#!/bin/bash
# Installs what building, testing and the lab need on a Debian 12/13 or Ubuntu 22.04/24.04 that has a Rust toolchain.
#
#   tests/lab/deps.sh            install what is missing
#   tests/lab/deps.sh --demo     the same, without what only tests need
#   tests/lab/deps.sh --list     say what is missing; exit 1 if anything is
#
# It changes nothing but packages: no daemon is started or enabled on this machine. That is why it takes libvirt's
# daemon without `libvirt-daemon-system` (its units, users and default network), and why cloud-init, which would
# reconfigure a machine at its next boot, is only unpacked into the cache, for its `schema` command.

. "$(dirname "$0")/common.sh"

PACKAGES=(
  # building
  libvirt-dev pkg-config gcc libc6-dev git ca-certificates
  # Ansible's environment
  python3 python3-venv python3-pip
  # the lab's libvirt: daemon, client (virsh, virt-xml-validate) and what they call
  libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libxml2-utils
  dnsmasq-base iproute2 iptables nftables kmod procps util-linux mount
  # the lab's image
  mmdebstrap debian-archive-keyring fdisk e2fsprogs zstd
  # looking into it: clients, and checkers of what is rendered
  openssh-client openssh-server openssl curl jq socat dosfstools mtools haproxy keepalived bsdutils
)
TESTS_PACKAGES=(
  shellcheck
  # the stand-in's own tests
  etcd-server etcd-client
  # the benchmarks' peak memory; terminals for tests, and the shells whose completion they try
  time tmux zsh fish
  # what Debian says of the package
  lintian
)
# libvirt's drivers where they are packages of their own (Debian 13); elsewhere they are in libvirt-daemon.
DRIVER_PACKAGES=(
  libvirt-daemon-driver-network libvirt-daemon-driver-storage libvirt-daemon-driver-nodedev
  libvirt-daemon-driver-nwfilter libvirt-daemon-driver-secret libvirt-daemon-driver-interface
)
# These come in one version, from one place: see qemu_release.
QEMU_PACKAGES=(qemu-utils qemu-system-x86)

# The language server that editors check YAML with, in the versions that tests/editor pins.
EDITOR=$LAB_DIR/../editor
EDITOR_DIR=$KUBITECT_LAB_CACHE/editor-$(sha256sum "$EDITOR/package-lock.json" | cut -c 1-12)

# The unpacked checker: only its `schema` command is reachable.
CLOUD_INIT_DIR=$KUBITECT_LAB_CACHE/cloud-init

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing() {
  local package
  for package in "$@"; do
    is_installed "$package" || echo "$package"
  done
}

# The version that would be installed, or nothing.
candidate() { LC_ALL=C apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'; }

# Prints those drivers that are packages of their own in the release that libvirt's daemon comes from. Backports may have
# them where the stable release has not; they fit no other daemon.
drivers() {
  local package daemon
  daemon=$(candidate libvirt-daemon)
  for package in "${DRIVER_PACKAGES[@]}"; do
    if [ -n "$daemon" ] && [ "$(candidate "$package")" = "$daemon" ]; then
      echo "$package"
    fi
  done
}

apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

# The target release for QEMU's packages, or nothing for the default one. qemu-utils from backports and
# qemu-system-x86 from the stable release exclude each other; whoever took one from backports gets both from there.
qemu_release() {
  local version
  version=$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null || true)
  case $version in
    *~bpo*) echo "$(codename)-backports" ;;
  esac
}

codename() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# Adds the backports of the mirror that this machine uses already, signed as that one is.
# shellcheck disable=SC2016  # $(RELEASE) and $(REPO_URI) are apt's fields
add_backports() {
  local release=$1 uri file=/etc/apt/sources.list.d/kubitect-backports.sources
  if grep -qx "$release" <<<"$(apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages')"; then
    return
  fi
  uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    sed -n "s/^$(codename) //p" | head -n 1)
  [ -n "$uri" ] || die "no apt source for $(codename) found, so none for $release can be derived"
  say "adding $file ($release is needed because qemu-utils comes from there)"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "$uri" "$release" /usr/share/keyrings/debian-archive-keyring.gpg >"$file"
}

# While packages are installed, invoke-rc.d is told to start nothing. What was there before is put back, also by the
# next run if this one is killed.
POLICY=/usr/sbin/policy-rc.d
POLICY_BEFORE=$POLICY.before-kubitect
forbid_starting() {
  allow_starting
  if [ -e $POLICY ]; then
    mv $POLICY $POLICY_BEFORE
  fi
  printf '#!/bin/sh\n# kubitect: no daemons while packages are installed\nexit 101\n' >$POLICY
  chmod 0755 $POLICY
}
allow_starting() {
  if grep -qs '^# kubitect:' $POLICY; then
    rm $POLICY
  fi
  if [ -e $POLICY_BEFORE ]; then
    mv $POLICY_BEFORE $POLICY
  fi
}

enabled_units() { find /etc/systemd/system -type l -name '*.*' ! -lname /dev/null -printf '%f\n' 2>/dev/null | sort -u; }

# Installs packages, and disables again the units that doing so enabled. A systemd that comes with them was not in use.
install() {
  local before unit had_systemd
  had_systemd=$(command -v systemctl || true)
  before=$(mktemp)
  enabled_units >"$before"
  apt install -y --no-install-recommends "$@" >&2
  [ -n "$had_systemd" ] || return 0
  while read -r unit; do
    say "disabling $unit: nothing of the lab runs outside it"
    systemctl disable --quiet "$unit" 2>/dev/null || say "warning: $unit could not be disabled"
  done < <(enabled_units | comm -13 "$before" -)
  rm -f "$before"
}

# Unpacks the distribution's cloud-init and leaves a command `cloud-init` in the cache. Its maintainer scripts and
# units never touch this machine; the Python packages it depends on are installed as usual.
unpack_cloud_init() {
  local work imports
  [ -x "$CLOUD_INIT_DIR/bin/cloud-init" ] && return
  mapfile -t imports < <(apt-cache depends cloud-init | sed -n 's/^ *Depends: \(python3-[a-z0-9.+-]*\)$/\1/p')
  mapfile -t imports < <(missing "${imports[@]}")
  if ((${#imports[@]})); then
    say "installing what cloud-init's checker imports: ${imports[*]}"
    install "${imports[@]}"
  fi
  say "unpacking cloud-init's checker into $CLOUD_INIT_DIR (it is not installed)"
  mkdir -p "$KUBITECT_LAB_CACHE"
  work=$(mktemp -d "$KUBITECT_LAB_CACHE/cloud-init.XXXXXX")
  (cd "$work" && apt -o APT::Sandbox::User=root download cloud-init >&2 && dpkg-deb -x cloud-init_*.deb root)
  rm "$work"/cloud-init_*.deb
  mkdir "$work/bin"
  cat >"$work/bin/cloud-init" <<'END'
#!/bin/sh
# Only the checker: every other command of cloud-init would act on this machine.
[ "$1" = schema ] || { echo "cloud-init: only 'schema' is available here" >&2; exit 2; }
here=$(dirname "$(readlink -f "$0")")
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here/../root/usr/lib/python3/dist-packages \
  exec /usr/bin/python3 -m cloudinit.cmd.main "$@"
END
  chmod 0755 "$work" "$work/bin/cloud-init"
  rm -rf "$CLOUD_INIT_DIR"
  mv -T "$work" "$CLOUD_INIT_DIR"
}

# A client for Kubernetes. Debian has one, Ubuntu may not; image.sh keeps a copy of the image's for that case.
install_kubectl() {
  local package
  command -v kubectl >/dev/null && return
  for package in kubernetes-client kubectl; do
    if [ -n "$(candidate "$package")" ]; then
      say "installing $package (kubectl)"
      install "$package"
      return
    fi
  done
  say "this release has no kubectl package: inside the lab, the copy that image.sh takes from the image is used"
}

# Node and its packages' client; what has a newer one than the distribution keeps it.
node_packages() {
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
}

# Puts the language server into the cache: none of its packages runs a script, and nothing of it is installed.
fetch_language_server() {
  local work
  [ -e "$EDITOR_DIR" ] && return
  say "fetching the YAML language server into $EDITOR_DIR"
  mkdir -p "$KUBITECT_LAB_CACHE"
  work=$(mktemp -d "$KUBITECT_LAB_CACHE/editor.XXXXXX")
  cp "$EDITOR"/package.json "$EDITOR"/package-lock.json "$work"
  if (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund >&2); then
    chmod 0755 "$work"
    mv -T "$work" "$EDITOR_DIR"
  else
    rm -rf "$work"
    say "warning: the YAML language server can't be had here; the test of what editors show will fail"
  fi
}

wanted() {
  local drivers
  mapfile -t drivers < <(drivers)
  missing "${PACKAGES[@]}" "${drivers[@]}" "${QEMU_PACKAGES[@]}"
  if [ "$purpose" = tests ]; then
    [ -x "$CLOUD_INIT_DIR/bin/cloud-init" ] || echo "cloud-init (unpacked, not installed)"
    [ -e "$EDITOR_DIR" ] || echo "yaml-language-server (in the cache, not installed)"
  fi
}

purpose=tests
if [ "${1:-}" = --demo ]; then
  purpose=demo
else
  PACKAGES+=("${TESTS_PACKAGES[@]}")
fi
case ${1:-} in
  --list)
    wanted
    [ -z "$(wanted)" ]
    exit
    ;;
  '' | --demo) ;;
  *) die "usage: ${0##*/} [--list|--demo]" ;;
esac

if ! command -v apt-get dpkg-query >/dev/null; then
  die "only Debian and Ubuntu are supported"
fi
command -v cargo >/dev/null || die "cargo is missing: install Rust as https://rustup.rs says, and open a new shell"
if [ -z "$(wanted)" ] && { command -v kubectl >/dev/null || [ -x "$KUBITECT_LAB_CACHE/bin/kubectl" ]; }; then
  say "everything is installed"
  exit 0
fi
become_root "$@"

mkdir -p "$KUBITECT_LAB_STATE"
exec 9>"$KUBITECT_LAB_STATE/deps.lock"
flock -w 900 9 || die "another ${0##*/} has been installing for 15 minutes"
trap allow_starting EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
forbid_starting

qemu_from=$(qemu_release)
if [ -n "$qemu_from" ] && [ -n "$(missing "${QEMU_PACKAGES[@]}")" ]; then
  add_backports "$qemu_from"
fi
say "reading the package lists"
apt update >&2
mapfile -t drivers < <(drivers)
mapfile -t packages < <(missing "${PACKAGES[@]}" "${drivers[@]}"; [ "$purpose" = demo ] || node_packages)
if ((${#packages[@]})); then
  say "installing: ${packages[*]}"
  install "${packages[@]}"
fi
mapfile -t packages < <(missing "${QEMU_PACKAGES[@]}")
if ((${#packages[@]})); then
  say "installing: ${packages[*]}${qemu_from:+ from $qemu_from}"
  install ${qemu_from:+-t "$qemu_from"} "${packages[@]}"
fi
install_kubectl
if [ "$purpose" = tests ]; then
  unpack_cloud_init
  fetch_language_server
fi
say "done"
