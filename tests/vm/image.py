# SPDX-License-Identifier: GPL-2.0-or-later
#
# The guest's initramfs: what is in it and how it is written. It owns the list of
# files; which packages they come from is debian.py's, what is built product.py's.

import os
import re
import shutil
import stat
import struct
import subprocess

import debian

HERE = os.path.dirname(os.path.abspath(__file__))

# Loaded at boot, and only there to be loaded by a test.
MODULES_BOOT = ['virtio_pci', 'virtio_console']
MODULES_MORE = ['virtio_balloon', 'virtio_mem', 'zram', 'hwpoison_inject', 'memory_notifier_error_inject',
                'fuse', 'ext4', 'crc32c_generic', 'virtio_blk']

HOST_PROGRAMS = ['/usr/bin/dbus-daemon', '/usr/bin/busctl', '/usr/bin/systemd-notify', '/usr/bin/setpriv',
                 '/usr/bin/systemd-socket-activate', '/usr/lib/polkit-1/polkitd']

HOST_DATA = ['/usr/share/dbus-1/system.conf', '/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf',
             '/usr/share/polkit-1/actions/org.freedesktop.policykit.policy']

USERS = (('root', 0), ('messagebus', 101), ('polkitd', 996), ('memunplug', 990), ('user', 1000), ('nobody', 65534))

DIRECTORIES = ('dev', 'proc', 'sys', 'run', 'tmp', 'root', 'mnt', 'etc/dbus-1/system.d', 'etc/polkit-1/rules.d',
               'usr/share/polkit-1/rules.d', 'usr/share/dbus-1/system.d', 'usr/share/dbus-1/system-services',
               'var/lib/memunplug', 'var/lib/polkit-1', 'var/log')

TRIXIE = 'opt/trixie'


class Image:
    """A file system in the making: guest path -> (mode, contents or host path)."""

    def __init__(self):
        self.entries = {}

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.directory(parent)

    def directory(self, path, mode=0o755):
        path = path.strip('/')
        self._parents(path)
        self.entries[path] = (stat.S_IFDIR | mode, b'')

    def link(self, path, target):
        path = path.strip('/')
        self._parents(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def data(self, path, contents, mode=0o644):
        path = path.strip('/')
        self._parents(path)
        self.entries[path] = (stat.S_IFREG | mode, contents if isinstance(contents, bytes) else contents.encode())

    def file(self, path, source, mode=None):
        """A file of the host under a guest path. Links of the host are followed."""
        with open(source, 'rb') as f:
            contents = f.read()
            if mode is None:
                mode = 0o755 if os.fstat(f.fileno()).st_mode & 0o100 else 0o644
        self.data(path, contents, mode)

    def program(self, path, source):
        """A program of the host with the shared libraries it needs, at their places."""
        self.file(path, source, 0o755)
        r = subprocess.run(['ldd', source], capture_output=True, text=True)
        if r.returncode:
            return                              # static, or a script
        for line in r.stdout.splitlines():
            if 'not found' in line:
                raise debian.PackageError('%s: %s' % (source, line.strip()))
            m = re.search(r'(?:=>\s*)?(/\S+)\s+\(0x', line)
            if m and m[1].strip('/') not in self.entries:
                self.file(m[1], m[1], 0o755)

    def write(self, f):
        """The archive in the format the kernel unpacks (cpio newc), everything owned by root."""
        inode = 0
        for path in sorted(self.entries):
            mode, contents = self.entries[path]
            inode += 1
            _write_entry(f, inode, path, mode, contents)
        # Needed before devtmpfs is there: the first program's stdin and output.
        _write_entry(f, inode + 1, 'dev/console', stat.S_IFCHR | 0o600, b'', rdev=(5, 1))
        _write_entry(f, 0, 'TRAILER!!!', 0, b'')


def _write_entry(f, inode, path, mode, contents, rdev=(0, 0)):
    name = path.encode() + b'\0'
    fields = (inode, mode, 0, 0, 1, 0, len(contents), 0, 0, rdev[0], rdev[1], len(name), 0)
    head = b'070701' + b''.join(b'%08X' % v for v in fields) + name
    f.write(head + b'\0' * (-len(head) % 4))
    f.write(contents + b'\0' * (-len(contents) % 4))


# ---- what is in it ----

def add_base(image):
    for d in DIRECTORIES:
        image.directory(d)
    image.directory('tmp', 0o1777)
    image.directory('root', 0o700)
    image.file('bin/busybox', '/bin/busybox', 0o755)
    applets = subprocess.run(['/bin/busybox', '--list'], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != 'busybox':
            image.link('bin/' + applet, 'busybox')
    image.directory('sbin')
    for applet in ('modprobe', 'insmod', 'rmmod'):
        image.link('sbin/' + applet, '../bin/busybox')
    image.data('etc/passwd', ''.join('%s:x:%d:%d::/:/bin/sh\n' % (n, u, u) for n, u in USERS))
    image.data('etc/group', ''.join('%s:x:%d:\n' % (n, u) for n, u in USERS))
    image.data('etc/nsswitch.conf', 'passwd: files\ngroup: files\n')
    image.data('etc/machine-id', '6d656d756e706c756700000000000001\n')
    image.file('init', os.path.join(HERE, 'init'), 0o755)
    image.file('usr/bin/start-memunplugd', os.path.join(HERE, 'start-memunplugd'), 0o755)
    for path in HOST_PROGRAMS:
        if os.path.exists(path):
            image.program(path, path)
    for path in HOST_DATA:
        if os.path.exists(path):
            image.file(path, path)


def add_modules(image, kernel):
    """Kernel modules, uncompressed, with what modprobe needs to find them."""
    boot = kernel.module_files(MODULES_BOOT)
    paths = boot + [p for p in kernel.module_files(MODULES_MORE) if p not in boot]
    base = 'lib/modules/%s/' % kernel.release
    for path in paths:
        image.data(base + plain(path), kernel.read_module(path))
    with open(os.path.join(kernel.modules, 'modules.dep')) as f:
        dep = ''.join(line.replace('.ko.xz', '.ko') for line in f if line.split(':')[0] in paths)
    image.data(base + 'modules.dep', dep)
    image.data('lib/modules/boot', ''.join(plain(p) + '\n' for p in boot))


def plain(path):
    return path[:-3] if path.endswith('.xz') else path


def add_trixie(image):
    """varlinkctl of Debian 13, with its own libraries and loader, apart from all else."""
    root = trixie_root()
    with open(os.path.join(root, '.files')) as f:
        for line in f:
            source, name = line.rstrip('\n').split('\t')
            image.file(os.path.join(TRIXIE, name), source, 0o755)
    image.data('usr/bin/varlinkctl', '#!/bin/sh\nexec /%s/ld.so --library-path /%s /%s/varlinkctl "$@"\n'
               % (TRIXIE, TRIXIE, TRIXIE), 0o755)


def trixie_root():
    """varlinkctl and every library it names, from as few packages as that takes."""
    archive = debian.archive('trixie')
    first = [archive.fetch(p) for p in ('systemd', 'libsystemd-shared', 'libc6')]
    version = archive.show('systemd')['version']
    root = os.path.join(debian.cache_dir('root'), 'varlinkctl-' + re.sub(r'[^\w.]', '-', version))
    if os.path.exists(os.path.join(root, '.files')):
        return root
    queue = archive.depends('libsystemd-shared')
    with debian.Lock('varlinkctl'):
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root)
        for deb in first:
            subprocess.run(['dpkg-deb', '-x', deb, root], check=True)
        seen = {'libc6'}
        while True:
            found, missing = _trixie_libraries(root)
            if not missing:
                break
            queue = [p for p in queue if p not in seen and re.match('z?lib', p)]
            if not queue:
                raise debian.PackageError('varlinkctl of trixie lacks ' + ', '.join(missing))
            package = queue.pop(0)
            seen.add(package)
            subprocess.run(['dpkg-deb', '-x', archive.fetch(package), root], check=True)
            queue.extend(archive.depends(package))
        with open(os.path.join(root, '.files.new'), 'w') as f:
            f.write(''.join('%s\t%s\n' % item for item in found))
        os.rename(os.path.join(root, '.files.new'), os.path.join(root, '.files'))
    return root


def varlinkctl():
    """The command, as a list, that runs it on this machine: its own loader with its own libraries."""
    root = trixie_root()
    folder = os.path.join(root, 'run')
    with debian.Lock('varlinkctl'), open(os.path.join(root, '.files')) as f:
        os.makedirs(folder, exist_ok=True)
        for line in f:
            source, name = line.rstrip('\n').split('\t')
            link = os.path.join(folder, name)
            if not os.path.lexists(link):
                os.symlink(source, link)
    return [os.path.join(folder, 'ld.so'), '--library-path', folder, os.path.join(folder, 'varlinkctl')]


def _trixie_libraries(root):
    lib = os.path.join(root, 'usr/lib/x86_64-linux-gnu')
    loader = os.path.join(lib, 'ld-linux-x86-64.so.2')
    program = os.path.join(root, 'usr/bin/varlinkctl')
    out = subprocess.run([loader, '--library-path', lib + ':' + os.path.join(lib, 'systemd'), '--list', program],
                         capture_output=True, text=True)
    text = out.stdout + out.stderr
    missing = re.findall(r'(\S+) => not found', text)
    missing += re.findall(r'error while loading shared libraries: (\S+):', text)
    found = [(program, 'varlinkctl'), (loader, 'ld.so')]
    for name, path in re.findall(r'(\S+) => (/\S+)', text):
        if '/' in name:
            continue
        if path.startswith(root):
            found.append((path, name))
        else:
            missing.append(name)                # the host's own: not the one it was built with
    return found, missing
