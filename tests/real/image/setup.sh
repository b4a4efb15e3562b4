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

# No server out there is asked, and with the usual 140 certificates each `update-ca-certificates`, one for each certificate that Kubespray
# adds, takes 50 s on an emulated machine.
sed --in-place 's/^[^#!]/!&/' /etc/ca-certificates.conf
update-ca-certificates --fresh

# Go's runtime wakes up every 20 microseconds while a program has something to do, and threads wake each other: 3,000 switches a second
# in a control plane that does nothing. With timers that may be 10 ms late and one processor for each program they are 850, and the
# machine takes three quarters of the time. Containers inherit the timers from their
# runtime; pack.py gives them one processor.
mkdir -p /etc/systemd/system.conf.d
cat >/etc/systemd/system.conf.d/go.conf <<'CONF'
[Manager]
DefaultEnvironment=GOMAXPROCS=1
TimerSlackNSec=10ms
CONF

# Each task of Ansible sends its module as a zip of sources, and Python compiles it again every time: a third of a task's time on an
# emulated machine. Here each source is compiled once.
mkdir -m 0755 /var/cache/compiled-modules
cat >/usr/lib/python3/dist-packages/compiled_modules.py <<'PYTHON'
"""Compiles each source in a zip once: by its name and contents, in a folder to which only root writes."""
import marshal
import os
import zipimport
from _sha1 import sha1

FOLDER = "/var/cache/compiled-modules/"
compile_source = zipimport._compile_source


def compiled(pathname, source):
    path = FOLDER + os.path.basename(pathname) + "-" + sha1(source).hexdigest()
    try:
        with open(path, "rb") as file:
            return marshal.load(file)
    except (OSError, ValueError, EOFError, TypeError):
        pass
    code = compile_source(pathname, source)
    try:
        written = f"{path}.{os.getpid()}"
        with open(written, "wb") as file:
            marshal.dump(code, file)
        os.rename(written, path)
    except OSError:
        pass
    return code


zipimport._compile_source = compiled
PYTHON
echo 'import compiled_modules' >/usr/lib/python3/dist-packages/compiled-modules.pth
