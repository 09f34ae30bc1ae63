# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest that is a whole Debian: booted by systemd from its own disk, with bus, polkit,
# udev and journal, the product there as packages. It owns what goes from the host onto
# the disk at boot; the disk itself is rootfs.py's, QEMU is machine.py's.

import os
import shutil

import image
import machine
import package
import product
import rootfs

HERE = os.path.dirname(os.path.abspath(__file__))
UNIT = 'memunplug-agent.service'
DEBS = '/usr/lib/memunplug-test/packages'
SERVICE = 'memunplugd.service'
RESTARTED = 'timeout 140 sh -c "until [ \\$(systemctl show -P NRestarts %s) -gt %d ]; do sleep 0.1; done"'

BOOT_MODULES = ['virtio_pci', 'virtio_console', 'virtio_blk', 'crc32c_generic', 'ext4']
MODULES = ['autofs4', 'fuse']                   # that systemd asks for
MODULE_TABLES = ('modules.builtin', 'modules.builtin.modinfo', 'modules.order')


def available():
    """Why there can be no such guest here, or nothing."""
    for program in ('mmdebstrap', 'mke2fs', 'dpkg-buildpackage'):
        if not shutil.which(program, path=os.environ['PATH'] + ':/sbin:/usr/sbin'):
            return 'no ' + program
    return '' if os.geteuid() == 0 else 'files of several owners are put on a disk: this needs root'


class System(machine.Guest):
    """A running Debian that belongs to a series of kernels: 12 to 6.1, 13 to 6.12; packages not installed."""

    def __init__(self, kernel='6.1', append='', devices=(), **options):
        series = kernel if isinstance(kernel, str) else kernel.series
        self.debian = rootfs.SUITE[series]
        disk = rootfs.image(series)
        super().__init__(kernel=kernel, append='systemd.show_status=0 audit=0 ' + append, devices=[
            '-drive', 'file=%s,format=raw,if=none,id=root,snapshot=on,cache=unsafe' % disk,
            '-device', 'virtio-blk-pci,drive=root', *devices], **options)

    def _write_image(self, made, files, trixie):
        contents, over = image.Image(), image.Image()
        contents.file('init', os.path.join(HERE, 'system-init'), 0o755)
        contents.file('bin/busybox', '/bin/busybox', 0o755)
        for applet in ('sh', 'mount', 'insmod', 'mkdir', 'cp', 'chroot', 'switch_root', 'uname', 'echo'):
            contents.link('bin/' + applet, 'busybox')
        for directory in ('proc', 'sys', 'dev', 'disk'):
            contents.directory(directory)
        self._add_modules(contents, over)
        product.Product(module=not made or made.module).add_to(over, self.kernel)
        if self.debian != 'trixie':             # which has it itself
            image.add_trixie(over)
        for deb in package.debs():
            over.file(os.path.join(DEBS, os.path.basename(deb)), deb)
        for path, source in files:
            over.file(path, source)
        unit = 'etc/systemd/system/'
        over.file(unit + UNIT, os.path.join(HERE, UNIT))
        over.link(unit + 'sysinit.target.wants/' + UNIT, '../' + UNIT)
        _lay_over(contents, over)
        with open(os.path.join(self.dir, 'initrd'), 'wb') as f:
            contents.write(f)

    def _add_modules(self, contents, over):
        boot = self.kernel.module_files(BOOT_MODULES)
        more = self.kernel.module_files([*MODULES, *image.MODULES_MORE])
        base = 'lib/modules/%s/' % self.kernel.release
        for path in {*boot, *more}:
            over.data(base + image.plain(path), self.kernel.read_module(path))
        for name in MODULE_TABLES:
            over.file(base + name, os.path.join(self.kernel.modules, name))
        contents.data('boot-modules', ''.join(image.plain(p) + '\n' for p in boot))

    def wait_booted(self, timeout=240):
        """Until all that is started at boot has started: systemd's word for how that went."""
        return self.run(['systemctl', 'is-system-running', '--wait'], timeout).out.strip()

    def install(self, timeout=400):
        """Installs the packages, as an administrator would: what dpkg said."""
        r = self.run('exec 2>&1; DEBIAN_FRONTEND=noninteractive dpkg -i %s/*.deb' % DEBS, timeout)
        if r.rc:
            raise machine.GuestError('dpkg: exit status %d\n%s' % (r.rc, r.out))
        return r.out

    def wait_on_bus(self, timeout):
        """Until the service has its name, as any client would."""
        self.check('timeout %d sh -c "until busctl status org.memunplug1 >/dev/null 2>&1; do sleep 0.1; done"'
                   % timeout, timeout + 10)

    def properties(self, unit, *names):
        """Properties of a unit, in this order."""
        out = self.check(['systemctl', 'show', unit, *('--property=' + n for n in names)])
        values = dict(line.split('=', 1) for line in out.splitlines() if '=' in line)
        return [values[n] for n in names]

    def strike(self, signo):
        """The service gets a signal that it does not survive and is started again: seconds from systemd's noticing
        that it has ended to its being ready, and from its new process to that."""
        restarts, = self.properties(SERVICE, 'NRestarts')
        self.check('systemctl kill --kill-who=main --signal=%s %s' % (signo, SERVICE))
        self.check(RESTARTED % (SERVICE, int(restarts)), 150)
        self.wait_on_bus(50)
        ended, began, ready = map(int, self.properties(SERVICE, *(
            what + 'TimestampMonotonic' for what in ('ActiveExit', 'ExecMainStart', 'ActiveEnter'))))
        return (ready - ended) / 1e6, (ready - began) / 1e6

    def journal(self, *arguments):
        return self.check(['journalctl', '--no-pager', '--quiet', *arguments])


class SystemGuest(System):
    """The same with the packages installed, once it has booted."""

    def __init__(self, **options):
        super().__init__(**options)
        try:
            self.boot_state = self.wait_booted()
            self.install_text = self.install()
        except BaseException:
            self.close()
            raise


def _lay_over(contents, over):
    """Puts an image below over/ of another; /bin, /sbin and /lib are links of a merged Debian."""
    for path, entry in over.entries.items():
        if path.split('/')[0] in ('bin', 'sbin', 'lib'):
            path = 'usr/' + path
        parent = 'over/' + os.path.dirname(path)
        if parent.rstrip('/') not in contents.entries:
            contents.directory(parent)
        contents.entries['over/' + path] = entry
