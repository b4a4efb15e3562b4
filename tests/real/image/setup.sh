#!/bin/sh
# Runs inside the ring's new image, after the lab's own setup: what Kubespray asks for and nothing here uses.
set -eu

# Kubespray installs it for `add-apt-repository`, which nothing calls without a mirror; the real one brings PackageKit.
folder=$(mktemp -d)
mkdir "$folder/DEBIAN"
printf '%s\n' 'Package: software-properties-common' 'Version: 0' 'Architecture: all' 'Maintainer: Kubitect lab <lab@kubitect.invalid>' \
  'Description: empty, for the ring' >"$folder/DEBIAN/control"
dpkg-deb --build "$folder" "$folder.deb"
dpkg --install "$folder.deb"
rm -rf "$folder" "$folder.deb"
touch /etc/.updated /var/.updated
