# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whole systems for guests: Debian as mmdebstrap makes it, with systemd, the message bus,
# polkit and udev, and nothing of ours. It owns the disk images below the cache; what a
# guest gets on top of one, and that it boots, is system.py's.
#
# An image is named after what it was asked to hold and the versions of that, so a new
# point release makes a new one. Nothing is mounted from a loop device: mke2fs fills it.

import hashlib
import os
import shutil
import subprocess
import tempfile

import debian

SUITE = {'6.1': 'bookworm', '6.12': 'trixie'}   # which Debian goes with a series of kernels
SIZE = '1500M'                                  # sparse

# What our package depends on is among them, so that dpkg alone can install it.
PACKAGES = ('systemd-sysv', 'dbus', 'polkitd', 'udev', 'kmod', 'util-linux', 'libcap-ng0', 'libjson-c5',
            'libsystemd0', 'libsmartcols1')

# Terminals nobody types on, and work that a machine starts by itself when it has time.
MASKED = ('getty@tty1.service', 'serial-getty@ttyS0.service', 'apt-daily.timer', 'apt-daily-upgrade.timer',
          'dpkg-db-backup.timer', 'e2scrub_all.timer', 'e2scrub_reap.service')

# The image is filled before mmdebstrap takes its own mounts away: so by a second way in, where they are not. Nor
# are services to be kept from starting later, as they are until it is done.
HOOK = """\
set -eu
printf '%s\\n' 6d656d756e706c756700000000000001 >"$1/etc/machine-id"
echo guest >"$1/etc/hostname"
printf '127.0.0.1 localhost guest\\n' >"$1/etc/hosts"
: >"$1/etc/fstab"; : >"$1/etc/resolv.conf"
chroot "$1" useradd -m -u 1000 user
chroot "$1" groupadd --system memunplug-admins
chroot "$1" useradd -m -u 1001 -G memunplug-admins admin
for unit in $MASKED; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done
rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*
rm -f "$1/usr/sbin/policy-rc.d"
[ ! -e "$1/sbin/start-stop-daemon.REAL" ] || mv "$1/sbin/start-stop-daemon.REAL" "$1/sbin/start-stop-daemon"
mkdir -p "$WORK/view"
mount --bind "$1" "$WORK/view"
truncate -s "$SIZE" "$WORK/image"
mke2fs -q -F -t ext4 -O ^has_journal -E root_owner=0:0 -d "$WORK/view" "$WORK/image"
umount "$WORK/view"
"""


def _aptopts():
    """How the running system reaches the archive: its proxies, as mmdebstrap does not read its apt's files."""
    out = subprocess.run(['apt-config', 'dump', '--format', '%F "%v";%n'], check=True, capture_output=True,
                         text=True).stdout
    lines = [line for line in out.splitlines() if 'proxy' in line.lower() and not line.endswith('"";')]
    return ['--aptopt=' + line for line in [*lines, 'Acquire::Retries "3";', 'Acquire::Languages "none";']]


def _build(suite, path):
    archive = debian.archive(suite)
    archive.prepare()
    work = tempfile.mkdtemp(prefix='rootfs-', dir=os.path.dirname(path))
    os.chmod(work, 0o755)
    hook = os.path.join(work, 'hook')
    with open(hook, 'w') as f:
        f.write('#!/bin/sh\n' + HOOK)
    os.chmod(hook, 0o755)
    env = dict(os.environ, LC_ALL='C.UTF-8', WORK=work, SIZE=SIZE, MASKED=' '.join(MASKED))
    try:
        r = subprocess.run(['mmdebstrap', '--quiet', '--variant=minbase', '--format=null',
                            '--include=' + ','.join(PACKAGES), '--customize-hook=' + hook, *_aptopts(), suite, '-',
                            os.path.join(archive.dir, 'parts', 'memunplug.sources')],
                           env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
        if r.returncode:
            raise debian.PackageError('mmdebstrap %s: exit status %d\n%s' % (suite, r.returncode, r.stdout[-6000:]))
        os.rename(os.path.join(work, 'image'), path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def image(series):
    """Path of the disk of a Debian that goes with a kernel series; to be used read-only."""
    suite = SUITE[series]
    versions = ['%s=%s' % (p, debian.archive(suite).show(p)['version']) for p in PACKAGES]
    key = hashlib.sha256('\n'.join([*versions, SIZE, *MASKED, HOOK]).encode()).hexdigest()[:12]
    path = os.path.join(debian.cache_dir('rootfs'), '%s-%s.ext4' % (suite, key))
    with debian.Lock('rootfs-' + suite):
        if not os.path.exists(path):
            _build(suite, path)
    return path
