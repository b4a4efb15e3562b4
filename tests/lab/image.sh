#!/bin/bash
# Builds the lab's guest image and prints its path and checksum: `/path/lab-….qcow2 sha256:…`.
#
#   tests/lab/image.sh                  build it, or take it from the cache
#   tests/lab/image.sh --rebuild        build it anew (newer packages)
#   tests/lab/image.sh --extra FOLDER   another image: with the packages of FOLDER/packages, and FOLDER/setup.sh run last
#
# A Debian 12 cloud image with all that the guests need, since they reach no mirror. It is cached by the digest of
# its recipe (this file and image/), outside the tree. The file system is filled without being mounted and GRUB is
# written by its two files, so no loop device is needed; mmdebstrap's mounts are private to a namespace that ends
# with it.

. "$(dirname "$0")/common.sh"

SUITE=bookworm
# The virtual size. Machines run on larger overlays; growpart and resizefs use the rest.
SIZE_MIB=2048
EXTRA_SIZE_MIB=3072
# Where the first partition begins: sector 2048, behind the boot loader.
START_BYTES=$((2048 * 512))
RECIPE=$LAB_DIR/image

rebuild=no
extra=
case "${1:-} $#" in
  '--rebuild 1') rebuild=yes ;;
  '--extra 2')
    extra=$(cd "$2" && pwd -P)
    SIZE_MIB=$EXTRA_SIZE_MIB
    ;;
  ' 0') ;;
  *) die "usage: ${0##*/} [--rebuild | --extra FOLDER]" ;;
esac
become_root "$@"

digest=$(cd "$LAB_DIR" && cat image.sh image/* ${extra:+"$extra/packages" "$extra/setup.sh"} | sha256sum | cut -c 1-16)
images=$KUBITECT_LAB_CACHE/images
image=$images/lab-$SUITE-$digest.qcow2

answer() {
  touch "$image" "$image.sha256"
  echo "$image sha256:$(cat "$image.sha256")"
}

mkdir -p "$images"
exec 9>"$KUBITECT_LAB_CACHE/image.lock"
flock -w 1800 9 || die "another build of the image has been running for half an hour"
if [ "$rebuild" = no ] && [ -s "$image.sha256" ] && [ -s "$image" ]; then
  answer
  exit 0
fi

# What a killed build left, and images that no recipe has asked for in a month.
rm -rf "$KUBITECT_LAB_CACHE"/build.*
find "$images" -type f -mtime +30 -delete
work=$(mktemp -d "$KUBITECT_LAB_CACHE/build.XXXXXX")
chmod 0755 "$work"
log=$work/log
finish() {
  local code=$?
  if ((code != 0)) && [ -s "$log" ]; then
    cp "$log" "$KUBITECT_LAB_CACHE/image.log"
    say "the image could not be built; the end of $KUBITECT_LAB_CACHE/image.log:"
    tail -n 20 "$log" >&2
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The hooks below get the new root as their $1.
# shellcheck disable=SC2016
root='$1'
say "building $image (some 2 minutes)"
packages=$(sed -e 's/#.*//' -e '/^\s*$/d' "$RECIPE/packages" ${extra:+"$extra/packages"} | paste -sd, -)
hooks=()
if [ -n "$extra" ]; then
  hooks=(--customize-hook="install -m 0755 '$extra/setup.sh' \"$root/setup.sh\""
    --customize-hook="chroot \"$root\" /setup.sh && rm \"$root/setup.sh\"")
fi
# However this script ends, the kernel ends the build with it, and its mounts with the build.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private -- \
  timeout --foreground 1500 mmdebstrap --mode=root --format=directory --variant=minbase --include="$packages" \
  --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="install -D -m 0644 '$RECIPE/cloud.cfg' \"$root/etc/cloud/cloud.cfg.d/90_kubitect_lab.cfg\"" \
  --customize-hook="install -D -m 0644 '$RECIPE/grub.cfg' \"$root/boot/grub/lab.cfg\"" \
  --customize-hook="install -m 0755 '$RECIPE/setup.sh' \"$root/setup.sh\"" \
  --customize-hook="chroot \"$root\" /setup.sh && rm \"$root/setup.sh\"" \
  "${hooks[@]}" \
  "$SUITE" "$work/root" ${KUBITECT_LAB_MIRROR:+"$KUBITECT_LAB_MIRROR"} </dev/null >"$log" 2>&1 9>&-
say "packages are in ($((SECONDS)) s)"

# The same client for everyone who has none.
if [ -x "$work/root/usr/bin/kubectl" ]; then
  install -D -m 0755 "$work/root/usr/bin/kubectl" "$KUBITECT_LAB_CACHE/bin/kubectl.new"
  mv "$KUBITECT_LAB_CACHE/bin/kubectl.new" "$KUBITECT_LAB_CACHE/bin/kubectl"
fi

disk=$work/disk.raw
truncate -s "${SIZE_MIB}M" "$disk"
{
  echo 'start=2048, type=83, bootable' | sfdisk --label dos "$disk"
  MKE2FS_CONFIG=$RECIPE/mke2fs.conf mke2fs -t ext4 -F -L kubitect-root -m 0 -d "$work/root" \
    -E "offset=$START_BYTES,lazy_itable_init=1,lazy_journal_init=1,nodiscard" "$disk" $((SIZE_MIB * 1024 - 1024))k
  # boot.img's code, without the partition table that follows it; core.img in the gap before the first partition.
  dd if="$work/root/boot/grub/boot.img" of="$disk" bs=440 count=1 conv=notrunc
  core=$(stat -c %s "$work/root/boot/grub/core.img")
  ((core <= START_BYTES - 512)) || die "GRUB's core image does not fit before the first partition"
  dd if="$work/root/boot/grub/core.img" of="$disk" bs=512 seek=1 conv=notrunc
  qemu-img convert -f raw -O qcow2 -c -W -m 2 -o compression_type=zstd "$disk" "$work/image.qcow2"
} >>"$log" 2>&1

sha256sum "$work/image.qcow2" | cut -d ' ' -f 1 >"$work/sha256"
chmod 0644 "$work/image.qcow2"
# The image first: an image without a checksum counts as not built.
rm -f "$image.sha256"
mv "$work/image.qcow2" "$image"
mv "$work/sha256" "$image.sha256"
say "built in $SECONDS s, $(($(stat -c %s "$image") / 1048576)) MiB"
answer
