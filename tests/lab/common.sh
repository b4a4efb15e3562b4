# shellcheck shell=bash
# What the lab's scripts share: talking, becoming root, and where things lie.

set -euo pipefail

# These paths are absolute and fixed before sudo changes HOME.
LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
export LAB_DIR
export KUBITECT_LAB_CACHE=${KUBITECT_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubitect-lab}
# Root's own folder: what lies here is bind-mounted over /etc/libvirt, so nobody else may write to it.
export KUBITECT_LAB_STATE=${KUBITECT_LAB_STATE:-/var/lib/kubitect-lab}
# Debian keeps these out of an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Runs the calling script again as root. HOME and PATH are kept: the tool under test lives in them.
become_root() {
  [ "$(id -u)" = 0 ] && return
  # A cache that is made for this is its owner's, not root's.
  mkdir -p "${KUBITECT_LAB_CACHE%/*}"
  command -v sudo >/dev/null || die "run this as root, or install sudo"
  exec sudo --preserve-env -- env "PATH=$PATH" "HOME=$HOME" bash "$0" "$@"
}

# wait_for SECONDS WHAT COMMAND... : tries the command until it succeeds; says what it waited for if it never does.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      say "gave up waiting for $what"
      return 1
    fi
    sleep 0.2
  done
}
