#!/bin/bash
# The lab: a libvirt of its own in a network and mount namespace, where the tool finds it as qemu:///system.
#
#   tests/lab/lab.sh [--name NAME] up [--owner PID]   start it; with --owner it goes down when that process ends
#   tests/lab/lab.sh [--name NAME] exec [--] CMD...   run a command in it (same directory, environment, terminal)
#   tests/lab/lab.sh [--name NAME] shell              a shell in it
#   tests/lab/lab.sh [--name NAME] status             exit 0 if it is up, 3 if it is not
#   tests/lab/lab.sh [--name NAME] restart-libvirtd [SIGNAL]   as a host's libvirtd restarts: guests run on
#   tests/lab/lab.sh [--name NAME] down               end everything in it and remove it; safe at any time
#
# Labs of different names do not see each other: two of them are two hosts. The machine's own libvirt, networks and
# firewall are not touched. hold.sh is what runs inside.

. "$(dirname "$0")/common.sh"

usage() { die "usage: ${0##*/} [--name NAME] up [--owner PID] | exec [--] CMD... | shell | status | restart-libvirtd [SIGNAL] | down"; }

arguments=("$@")
name=main
if [ "${1:-}" = --name ]; then
  name=${2:-}
  shift 2 || usage
fi
[[ $name =~ ^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$ ]] || die "'$name' is no lab's name: small letters, digits and dashes"
command=${1:-}
shift || usage

namespace=kubitect-lab-$name
state=$KUBITECT_LAB_STATE/$name

# The process that keeps the lab's mount namespace, if it lives. A pid that was reused is not taken for it.
holder() {
  local pid
  pid=$(cat "$state/holder.pid" 2>/dev/null) || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -Fxq "$state" || return 1
  echo "$pid"
}

# Everything that runs in the lab, found by its network namespace: no list of pids to keep or to trust.
pids() {
  local pid
  if [ -e "/run/netns/$namespace" ]; then
    ip netns pids "$namespace" 2>/dev/null || true
  elif pid=$(holder); then
    # Somebody removed the namespace's name while the lab ran.
    find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -lname "$(readlink "/proc/$pid/ns/net")" 2>/dev/null |
      cut -d / -f 3
  fi
}
is_empty() { [ -z "$(pids)" ]; }

# enter CMD... : becomes that command inside the lab. The directory is entered by name once inside; before, it would
# be the one of the outer mount namespace.
enter() {
  local pid
  pid=$(holder) || die "the lab '$name' is not up; start it with: ${0##*/} --name $name up"
  # shellcheck disable=SC2016
  exec nsenter --target "$pid" --mount --net -- \
    /bin/bash -c 'cd -- "$1" || exit 126; shift; exec "$@"' lab "$PWD" "$@"
}

libvirt_answers() { (cd / && enter timeout 10 virsh --connect qemu:///system list); }

lock() {
  mkdir -p "$KUBITECT_LAB_STATE"
  chmod 0700 "$KUBITECT_LAB_STATE"
  exec 9>"$KUBITECT_LAB_STATE/$name.lock"
  flock -w 120 9 || die "another up or down of the lab '$name' has been running for two minutes"
}

take_down() {
  local pid signal
  # What the lab itself runs would kill itself half-way.
  if pids | grep -qx "$$"; then
    die "the lab can't be taken down from inside"
  fi
  if pid=$(cat "$state/watch.pid" 2>/dev/null) && [ "$pid" != "$$" ] && is_watcher "$pid"; then
    kill "$pid" 2>/dev/null || true
  fi
  # The holder first: it would start libvirtd again.
  if pid=$(holder); then
    kill -KILL "$pid" 2>/dev/null || true
  fi
  for signal in TERM KILL; do
    is_empty && break
    # Emulated machines have nothing to save: their disks are removed with the lab.
    pids | xargs -r kill "-$signal" 2>/dev/null || true
    wait_for 10 "the lab's processes to end on SIG$signal" is_empty || true
  done
  if ! is_empty; then
    pids | xargs -r ps -o pid,stat,wchan:20,args -p >&2 || true
    die "these processes of the lab '$name' do not end"
  fi
  if [ -e "/run/netns/$namespace" ]; then
    ip netns delete "$namespace"
  fi
  # Its mounts ended with its last process.
  rm -rf --one-file-system "$state"
}

is_watcher() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -Fq "lab.sh --name $name watch "; }
# A process's identity: its pid may be given to another one.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# Waits outside the lab for its owner's end.
watch() {
  local owner=$1 start=$2 of=$3
  while [ "$(started "$owner")" = "$start" ]; do
    [ "$(cat "$state/holder.pid" 2>/dev/null)" = "$of" ] || exit 0
    sleep 1
  done
  lock
  # Somebody may have started a new lab of this name meanwhile.
  [ "$(cat "$state/holder.pid" 2>/dev/null)" = "$of" ] && take_down
}

up() {
  local owner='' folder program
  if [ "${1:-}" = --owner ]; then
    owner=${2:-}
    [ -n "$(started "$owner")" ] || die "--owner needs the pid of a running process, not '$owner'"
  elif (($#)); then
    usage
  fi
  for program in libvirtd virsh ip dnsmasq qemu-system-x86_64; do
    command -v "$program" >/dev/null || die "$program is missing; install what the lab needs: $LAB_DIR/deps.sh"
  done
  lock
  if libvirt_answers >/dev/null 2>&1; then
    say "the lab '$name' is up already"
    return
  fi
  # What a crash left.
  take_down

  if command -v modprobe >/dev/null; then
    # Missing where they are built in or called otherwise; what is really needed shows when it is used.
    modprobe -qa tun bridge veth nf_tables nft_chain_nat nft_compat iptable_nat iptable_filter xt_MASQUERADE 2>/dev/null || true
  fi
  [ -c /dev/net/tun ] || die "/dev/net/tun is missing: this kernel gives machines no network"
  # What the lab's own folders are mounted on, inside.
  mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
  for folder in etc run lib log cache; do
    mkdir -p "$state/$folder"
  done
  cp "$LAB_DIR"/libvirt/*.conf "$state/etc/"
  python3 "$LAB_DIR/tsc.py" >"$state/etc/tsc-khz" || say "guests read the time slowly: this machine's counter can't be read"

  ip netns add "$namespace"
  # `ip netns exec` gives it a mount namespace of its own, with this network's /sys.
  setsid ip netns exec "$namespace" bash "$LAB_DIR/hold.sh" "$state" </dev/null >"$state/hold.log" 2>&1 9>&- &
  if ! wait_for 60 "the lab's libvirtd" libvirt_answers; then
    tail -n 30 "$state/hold.log" "$state/log/libvirtd.log" >&2 || true
    take_down
    die "the lab '$name' did not start"
  fi
  if [ -n "$owner" ]; then
    setsid bash "$LAB_DIR/lab.sh" --name "$name" watch "$owner" "$(started "$owner")" "$(holder)" \
      </dev/null >/dev/null 2>&1 9>&- &
    echo $! >"$state/watch.pid"
  fi
  say "the lab '$name' is up"
}

status() {
  local pid
  if ! pid=$(holder); then
    say "the lab '$name' is down"
    exit 3
  fi
  say "the lab '$name' is up (namespace $namespace, process $pid, files in $state)"
  enter timeout 20 virsh --connect qemu:///system list --all
}

# libvirtd ends by SIGNAL; the holder starts it again, as systemd would.
restart_libvirtd() {
  local pid new
  pid=$(cat "$state/run/libvirtd.pid") || die "the lab '$name' runs no libvirtd"
  kill "-${1:-TERM}" "$pid"
  is_new() { new=$(cat "$state/run/libvirtd.pid") && [ "$new" != "$pid" ] && libvirt_answers; }
  wait_for 60 "libvirtd to come back" is_new
}

become_root "${arguments[@]}"
case $command in
  up) up "$@" ;;
  down)
    lock
    take_down
    ;;
  exec | shell)
    [ "${1:-}" = -- ] && shift
    if [ "$command" = shell ]; then
      set -- "${SHELL:-/bin/bash}"
    fi
    (($#)) || usage
    # Tools that a machine may lack: the image's kubectl, cloud-init's checker.
    export PATH=$PATH:$KUBITECT_LAB_CACHE/cloud-init/bin:$KUBITECT_LAB_CACHE/bin
    enter "$@"
    ;;
  status) status ;;
  restart-libvirtd) restart_libvirtd "$@" ;;
  watch) watch "$@" ;;
  *) usage ;;
esac
