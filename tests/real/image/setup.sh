#!/bin/sh
# Runs inside the ring's new image, after the lab's own setup: what Kubespray asks for and nothing here uses.
set -eu

# software-properties-common brings `add-apt-repository`, which nothing calls without a mirror; the real one brings PackageKit.
# The others are in the lists of releases that are older than Debian 12, which does not have them;
# what it has breaks their old versions.
folder=$(mktemp -d)
mkdir "$folder/DEBIAN"
for package in software-properties-common python-apt aufs-tools; do
  printf '%s\n' "Package: $package" 'Version: 99' 'Architecture: all' 'Maintainer: Kubitect lab <lab@kubitect.invalid>' \
    'Description: empty, for the ring' >"$folder/DEBIAN/control"
  dpkg-deb --build "$folder" "$folder.deb"
  dpkg --install "$folder.deb"
done
rm -rf "$folder" "$folder.deb"
touch /etc/.updated /var/.updated
