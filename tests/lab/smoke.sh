#!/bin/bash
# Shows that the lab works, without the tool: boots machines from the image, and asks each over SSH (host key pinned)
# whether cloud-init did all it was told. Run it inside a lab; it removes what it made there.
#
#   tests/lab/lab.sh exec tests/lab/smoke.sh [MACHINES]

. "$(dirname "$0")/common.sh"

machines=${1:-1}
# A machine's definition is a matter of speed under emulation: README.md says what was measured.
MACHINE_TYPE=${KUBITECT_SMOKE_MACHINE:-pc}
CPU=${KUBITECT_SMOKE_CPU:-qemu64}
DEADLINE=900

[ -S /run/libvirt/libvirt-sock ] || die "no libvirt here; run it by: tests/lab/lab.sh exec $0"
image=$("$LAB_DIR/image.sh")
image=${image% sha256:*}
work=$(mktemp -d /var/lib/libvirt/smoke.XXXXXX)
export LIBVIRT_DEFAULT_URI=qemu:///system

# shellcheck disable=SC2317  # called by the trap
finish() {
  local i
  for i in $(seq "$machines"); do
    virsh destroy "smoke-$i" >/dev/null 2>&1 || true
    virsh undefine "smoke-$i" >/dev/null 2>&1 || true
  done
  virsh net-destroy smoke >/dev/null 2>&1 || true
  virsh net-undefine smoke >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

virsh net-create /dev/stdin >/dev/null <<END
<network><name>smoke</name><forward mode='nat'/><bridge name='smoke0'/>
<ip address='192.168.199.1' netmask='255.255.255.0'/></network>
END

ssh-keygen -q -t ed25519 -N '' -C smoke -f "$work/key"

define() {
  local i=$1 at=$work/$1
  mkdir "$at"
  ssh-keygen -q -t ed25519 -N '' -C "smoke-$i" -f "$at/host"
  echo "192.168.199.$((10 + i)) $(cut -d ' ' -f 1,2 "$at/host.pub")" >>"$work/known_hosts"
  cat >"$at/user-data" <<END
#cloud-config
hostname: smoke-$i
users:
  - name: k8s
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
    ssh_authorized_keys: ["$(cat "$work/key.pub")"]
ssh_keys:
  ed25519_private: |
$(sed 's/^/    /' "$at/host")
  ed25519_public: $(cat "$at/host.pub")
package_update: true
package_upgrade: true
packages: [haproxy]
write_files:
  - {path: /etc/smoke, content: written}
runcmd:
  - [sh, -c, 'echo ran >/run/smoke']
final_message: smoke-$i is ready after \$UPTIME s
END
  printf 'instance-id: smoke-%s\nlocal-hostname: smoke-%s\n' "$i" "$i" >"$at/meta-data"
  cat >"$at/network-config" <<END
version: 2
ethernets:
  net0:
    match: {macaddress: "52:54:00:99:00:$(printf %02x "$i")"}
    set-name: ens3
    accept-ra: false
    addresses: [192.168.199.$((10 + i))/24]
    routes: [{to: 0.0.0.0/0, via: 192.168.199.1}]
    nameservers: {addresses: [192.168.199.1]}
END
  truncate -s 2M "$at/seed.img"
  mkfs.vfat -n CIDATA "$at/seed.img" >/dev/null
  mcopy -i "$at/seed.img" "$at/user-data" "$at/meta-data" "$at/network-config" ::
  qemu-img create -q -f qcow2 -F qcow2 -b "$image" "$at/disk.qcow2" 10G
  cat >"$at/domain.xml" <<END
<domain type='qemu'>
  <name>smoke-$i</name>
  <memory unit='MiB'>2048</memory>
  <vcpu>2</vcpu>
  <cpu mode='custom'><model>$CPU</model></cpu>
  <os><type arch='x86_64' machine='$MACHINE_TYPE'>hvm</type></os>
  <features><acpi/></features>
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <controller type='usb' model='none'/>
    <disk type='file'>
      <driver name='qemu' type='qcow2' cache='unsafe' discard='unmap'/>
      <source file='$at/disk.qcow2'/><target dev='vda' bus='virtio'/><boot order='1'/>
    </disk>
    <disk type='file'>
      <driver name='qemu' type='raw'/>
      <source file='$at/seed.img'/><target dev='vdb' bus='virtio'/><readonly/>
    </disk>
    <interface type='network'>
      <source network='smoke'/><mac address='52:54:00:99:00:$(printf %02x "$i")'/><model type='virtio'/>
    </interface>
    <serial type='file'><source path='$at/console.log'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
</domain>
END
  virsh create "$at/domain.xml" >/dev/null
}

# on SECONDS I CMD... : runs it on machine I, within that time.
on() {
  local limit=$1 i=$2
  shift 2
  timeout "$limit" ssh -i "$work/key" -o BatchMode=yes -o ConnectTimeout=20 -o "UserKnownHostsFile=$work/known_hosts" \
    -o StrictHostKeyChecking=yes -o LogLevel=ERROR "k8s@192.168.199.$((10 + i))" "$@"
}

check() {
  local i=$1 status
  wait_for $DEADLINE "SSH on smoke-$i" on 30 "$i" true || return 1
  say "smoke-$i: SSH answers after $((SECONDS - begun)) s"
  status=$(on $DEADLINE "$i" cloud-init status --wait --long) || {
    say "smoke-$i: $status"
    return 1
  }
  say "smoke-$i: cloud-init is done after $((SECONDS - begun)) s"
  # shellcheck disable=SC2016
  on 120 "$i" 'set -euo pipefail
    PATH=$PATH:/usr/sbin
    grep -qx written /etc/smoke; grep -qx ran /run/smoke
    [ "$(hostname)" = smoke-'"$i"' ]
    ip -br address show ens3 >/dev/null
    [ "$(df --output=size -BG / | tail -n 1 | tr -dc 0-9)" -ge 9 ]
    systemctl is-system-running --wait >/dev/null || { systemctl --failed --no-pager; exit 1; }
    ! systemctl is-active haproxy keepalived etcd >/dev/null
    for program in "haproxy -v" "keepalived --version" "etcd --version" "etcdctl version" "python3 --version" \
      "kubectl version --client --short"; do
      $program 2>&1 | sed -n 1p
    done
    python3 -c "import apt, yaml"
    if sudo grep -E "WARN|ERROR|Traceback" /var/log/cloud-init.log; then exit 1; fi' || return 1
  say "smoke-$i: all is as it should be; $(ps -o cputime=,rss= -p "$(cat "/run/libvirt/qemu/smoke-$i.pid")" |
    awk '{printf "%s of processor time, %d MiB", $1, $2 / 1024}')"
}

begun=$SECONDS
for i in $(seq "$machines"); do
  define "$i"
done
say "$machines defined and started after $((SECONDS - begun)) s"
checks=()
for i in $(seq "$machines"); do
  check "$i" &
  checks+=($!)
done
code=0
for i in $(seq "$machines"); do
  if ! wait "${checks[i - 1]}"; then
    code=1
    say "smoke-$i failed; the end of its console:"
    tail -n 40 "$work/$i/console.log" >&2 || true
  fi
done
exit $code
