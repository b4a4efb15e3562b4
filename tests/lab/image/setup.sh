#!/bin/sh
# Runs inside the new image's root while it is built: settings, services, boot loader.
set -eu

# An initramfs with what finds a virtio disk, and nothing else: it is read through the BIOS.
printf 'MODULES=list\nCOMPRESS=lz4\n' >/etc/initramfs-tools/conf.d/kubitect-lab
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >>/etc/initramfs-tools/modules
update-initramfs -u -k all

# mke2fs puts this label on the file system; image.sh and grub.cfg use the same one.
echo 'LABEL=kubitect-root / ext4 defaults,errors=remount-ro 0 0' >/etc/fstab

# Services that are installed for whoever configures them.
systemctl disable haproxy.service keepalived.service etcd.service ipvsadm.service
# Housekeeping that only competes with the emulated machine's real work.
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
  e2scrub_reap.service systemd-pstore.service getty@tty1.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
  proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service \
  modprobe@loop.service sys-kernel-config.mount systemd-network-generator.service
# What cloud-init enables has units; for a script of the same name `systemctl enable` would start Perl.
rm -f /etc/init.d/haproxy /etc/init.d/keepalived /etc/init.d/etcd /etc/init.d/ipvsadm
# At its first boot each machine calls `netplan generate`, which is Python around the generator: a fourteenth of an emulated boot.
rm /usr/sbin/netplan
cat >/usr/sbin/netplan <<'END'
#!/bin/sh
[ "$*" != generate ] || exec /usr/libexec/netplan/generate
exec /usr/share/netplan/netplan.script "$@"
END
chmod 0755 /usr/sbin/netplan
# Who logs in, as Ansible does, leaves the services their share of the one emulated processor. There is no libpam-systemd that
# would give logins a slice of their own: what they start belongs to sshd.
mkdir -p /etc/systemd/system/ssh.service.d
printf '[Service]\nCPUWeight=20\n' >/etc/systemd/system/ssh.service.d/lab.conf
# Logs live in memory: nothing is flushed to the emulated disk at boot.
rm -rf /var/log/journal
echo 'LANG=C.UTF-8' >/etc/default/locale
systemctl enable systemd-networkd.service systemd-resolved.service ssh.service

# No sources: there is nothing to update from, and `apt-get update` succeeds at once.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
: >/etc/apt/sources.list

# Each machine gets its own identity: the host key from its seed, the machine id at its first boot.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
: >/etc/machine-id
rm -f /etc/hostname

# Boot loader: image.sh writes these two to the raw disk. The empty device before the comma means the boot disk.
# Its small parser knows no comments.
sed -i '/^#/d' /boot/grub/lab.cfg
grub-mkimage -O i386-pc -o /boot/grub/core.img -p '(,msdos1)/boot/grub' -c /boot/grub/lab.cfg \
  biosdisk part_msdos ext2 smbios linux
cp /usr/lib/grub/i386-pc/boot.img /boot/grub/boot.img
apt-get purge --autoremove -y grub-pc-bin grub-common

rm -rf /var/cache/apt/*.bin /var/lib/apt/lists/* /var/log/*.log /var/log/apt /tmp/* /var/tmp/*
# Nothing in /usr is newer than /etc or /var, so systemd does not redo its caches at the first boot.
touch /etc/.updated /var/.updated
