#!/usr/bin/env bash
# Makes the Debian package and the tarball of the program, with man pages, completion scripts and pages, in target/package.
#
#   packaging/build.sh                       builds the program (release) and packs it
#   packaging/build.sh --program FILE        packs this one
#   packaging/build.sh --out DIR             into another folder
#   packaging/build.sh --quick               hardly compressed, for tests
#   packaging/build.sh --without-libvirt     a program that needs no libvirt and reaches none; a tarball alone
#
# The same sources give the same bytes: times are those of the last commit, or of SOURCE_DATE_EPOCH. Needs dpkg-deb, binutils
# and a Rust toolchain, all of which building the program needs, too, on Debian and Ubuntu.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

die() {
  echo "packaging/build.sh: $*" >&2
  exit 1
}

program='' out=$here/target/package quick='' libvirt=yes
while [ $# -gt 0 ]; do
  case $1 in
  --program | --out)
    [ $# -gt 1 ] || die "$1 needs a value"
    if [ "$1" = --out ]; then out=$(realpath -m "$2"); else program=$(realpath "$2"); fi
    shift
    ;;
  --quick) quick=yes ;;
  --without-libvirt) libvirt='' ;;
  *) die "usage: packaging/build.sh [--program FILE] [--out DIR] [--quick] [--without-libvirt]" ;;
  esac
  shift
done
for tool in dpkg-deb dpkg objdump strip; do
  command -v "$tool" >/dev/null || die "$tool is missing: apt install dpkg binutils"
done

cd "$here"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml names no version"
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

if [ -z "$program" ]; then
  features=()
  [ -n "$libvirt" ] || features=(--no-default-features --features program)
  cargo build --release --locked -p kubitect-cli "${features[@]}"
  target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
  program=$target/release/kubitect
fi

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
umask 022

# The program, and what it says of itself.
tree=$work/tree
mkdir -p "$tree/bin"
install -m 0755 "$program" "$tree/bin/kubitect"
strip "$tree/bin/kubitect"
said=$(env -i HOME="$work" KUBITECT_HOME="$work/home" "$tree/bin/kubitect" --version)
[ "$said" = "kubitect $version" ] || die "$program says \`$said\`, and Cargo.toml $version"
env -i HOME="$work" KUBITECT_HOME="$work/home" "$tree/bin/kubitect" export man --out "$work/man" >/dev/null

share=$tree/share
doc=$share/doc/kubitect
install -d "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" \
  "$share/fish/vendor_completions.d" "$doc/docs" "$doc/examples"
install -m 0644 "$work"/man/man1/*.1 "$share/man/man1"
gzip -n -9 "$share"/man/man1/*.1
install -m 0644 "$work/man/completions/kubitect.bash" "$share/bash-completion/completions/kubitect"
install -m 0644 "$work/man/completions/_kubitect" "$share/zsh/site-functions/_kubitect"
install -m 0644 "$work/man/completions/kubitect.fish" "$share/fish/vendor_completions.d/kubitect.fish"
install -m 0644 README.md CHANGELOG.md "$doc"
cp -r docs/. "$doc/docs"
install -m 0644 examples/*.yaml "$doc/examples"
chmod -R u=rwX,go=rX "$doc"

pack_tar() {
  local name=kubitect-$version-linux-$architecture level=-9
  [ -n "$libvirt" ] || name+=-without-libvirt
  [ -z "$quick" ] || level=-1
  install -m 0644 LICENSE "$doc/LICENSE"
  tar --create --directory "$work" --transform "s,^tree,$name," --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
    --numeric-owner tree | gzip -n "$level" >"$work/$name.tar.gz"
  install -m 0644 "$work/$name.tar.gz" "$out/$name.tar.gz"
  rm "$doc/LICENSE"
  echo "$out/$name.tar.gz"
}

# The newest version of a library's symbols that the program uses, as `2.34` of GLIBC_2.34.
newest() {
  local found
  found=$(objdump -T "$tree/bin/kubitect" | grep -o "${1}_[0-9][0-9.]*" | sort -uV | tail -n 1 || true)
  [ -n "$found" ] || die "the program uses no symbol of $1"
  echo "${found#*_}"
}

# The packages with the libraries that the program is linked to; one that is not known here is an error.
depends() {
  local library all=()
  while read -r library; do
    case $library in
    libc.so.* | libm.so.* | ld-linux*) all+=("libc6 (>= $(newest GLIBC))") ;;
    libgcc_s.so.1) all+=("libgcc-s1") ;;
    libvirt.so.0) all+=("libvirt0 (>= $(newest LIBVIRT))") ;;
    libvirt-qemu.so.0) ;; # of the same package
    *) die "the program needs $library, and which package has it is not known here" ;;
    esac
  done < <(objdump -p "$tree/bin/kubitect" | sed -n 's/^ *NEEDED *//p')
  printf '%s\n' "${all[@]}" | sort -u | paste -sd, | sed 's/,/, /g'
}

maintainer='The Kubitect developers <kubitect@users.noreply.github.com>'
control() {
  cat <<END
Package: kubitect
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size "$work/deb/usr" | cut -f 1)
Depends: $(depends)
Recommends: git, openssh-client, python3-venv
Suggests: libvirt-daemon-system, qemu-system-x86, libvirt-clients
Section: admin
Priority: optional
Homepage: https://github.com/kubitect/kubitect-rs
Description: Kubernetes clusters on libvirt hosts, from one YAML file
 From one YAML file, kubitect makes a Kubernetes cluster on libvirt hosts:
 networks, disks, virtual machines, an HAProxy load balancer in front of the
 control plane, and Kubernetes itself through Kubespray. The same file later
 scales, upgrades, resizes, repairs and destroys it.
END
}

copyright() {
  cat <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: kubitect
Source: https://github.com/kubitect/kubitect-rs

Files: *
Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) The Kubitect developers
License: Apache-2.0
 On Debian systems, the text of the Apache License 2.0 is in
 /usr/share/common-licenses/Apache-2.0.
END
}

# In Debian's form, which tools read; what changed stands in CHANGELOG.md.
changelog() {
  cat <<END
kubitect ($version) unstable; urgency=medium

  * See /usr/share/doc/kubitect/CHANGELOG.md.gz.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
}

pack_deb() {
  local deb=$work/deb compression=(-Zxz)
  [ -z "$quick" ] || compression=(-Zgzip -z1)
  install -d "$deb/DEBIAN"
  cp -r "$tree" "$deb/usr"
  # Where Debian's zsh looks.
  mv "$deb/usr/share/zsh/site-functions" "$deb/usr/share/zsh/vendor-completions"
  gzip -n -9 "$deb/usr/share/doc/kubitect/CHANGELOG.md"
  changelog | gzip -n -9 >"$deb/usr/share/doc/kubitect/changelog.gz"
  copyright >"$deb/usr/share/doc/kubitect/copyright"
  control >"$deb/DEBIAN/control"
  (cd "$deb" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$deb" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
  local name=kubitect_${version}_$architecture.deb
  dpkg-deb --root-owner-group "${compression[@]}" --build "$deb" "$work/$name" >/dev/null
  install -m 0644 "$work/$name" "$out/$name"
  echo "$out/$name"
}

mkdir -p "$out"
pack_tar
[ -z "$libvirt" ] || pack_deb
