#!/bin/bash
# Runs inside the lab's namespaces for as long as the lab is up: mounts its folders, keeps libvirtd running.
# Started by lab.sh; its argument is the lab's folder.

set -euo pipefail
state=$1
# libvirtd takes the first QEMU that it finds here.
PATH=$(dirname "$(readlink -f "$0")")/bin:$PATH:/usr/sbin:/sbin

mount --bind "$state/etc" /etc/libvirt
mount --bind "$state/run" /run/libvirt
mount --bind "$state/lib" /var/lib/libvirt
mount --bind "$state/log" /var/log/libvirt
mount --bind "$state/cache" /var/cache/libvirt
# libvirtd looks up its distribution's user for QEMU before it reads that the lab uses root. Where no
# libvirt-daemon-system has made that user, it exists inside the lab only (64055 is Debian's number for it).
for file in passwd group; do
  getent "$file" libvirt-qemu >/dev/null && continue
  cp "/etc/$file" "$state/$file"
  case $file in
    passwd) echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' ;;
    group) echo 'libvirt-qemu:x:64055:' ;;
  esac >>"$state/$file"
  mount --bind "$state/$file" "/etc/$file"
done
# The machine's D-Bus is out of reach: libvirt would register its machines with systemd and ask firewalld for rules,
# both of them outside.
if [ -d /run/dbus ]; then
  mount -t tmpfs -o size=4k,mode=0755 none /run/dbus
fi

ip link set lo up
# This namespace's only.
echo 1 >/proc/sys/net/ipv4/ip_forward

# From now on the lab can be entered.
echo $$ >"$state/holder.pid.new"
mv "$state/holder.pid.new" "$state/holder.pid"

"$(dirname "$0")/nudge.sh" >>/var/log/libvirt/nudge.log 2>&1 &

while true; do
  libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid >>/var/log/libvirt/libvirtd.log 2>&1 ||
    echo "libvirtd ended with code $?"
  sleep 0.3
done
