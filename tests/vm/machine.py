# SPDX-License-Identifier: GPL-2.0-or-later
#
# One throwaway guest: QEMU's process, its memory devices, and what a test does with
# it. It owns the QEMU process; what goes into the guest is decided by image.py and
# product.py, and how one talks with it by channel.py.

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import debugkernel
import image
import kernelimage
from channel import GuestDied, GuestError, GuestTimeout, Link, QmpError, Result  # noqa: F401

QEMU = 'qemu-system-x86_64'
PR_SET_PDEATHSIG = 1
MAXMEM = 32 << 30                               # with DIMMs, of all but the largest guests
# Without "fast strings", whose bytes QEMU emulates one by one where the kernel would else go by words: zeroing
# memory is what such guests do most. Four levels of page tables instead of five make each look-up shorter.
CPU = 'max,-erms,-fsrm,-la57'
UNITS = {'K': 10, 'M': 20, 'G': 30}

# What the kernel says when it has gone wrong, in the console's text.
SPLAT = re.compile(r'BUG:|WARNING: |Oops|general protection fault|Kernel panic|Call Trace:|soft lockup|'
                   r'blocked for more than|rcu: INFO|list_(add|del) corruption|Bad page state|refcount_t:|'
                   r'KASAN|UBSAN|INFO: (trying|possible|inconsistent)|suspicious RCU|ODEBUG')


def parse_size(text):
    m = re.fullmatch(r'(\d+)([KMG]?)(?:iB)?', str(text))
    if not m:
        raise ValueError('not a size: %s' % text)
    return int(m[1]) << UNITS.get(m[2], 0)


class Guest:
    """
    A running guest. Use as a context manager: the machine is gone at its end.

    kernel    series of Debian's kernel: '6.1' or '6.12', or 'debug'
    memory    boot memory; dimms: sizes of DIMMs plugged at start, named d1, d2...
    product   a product.Product put into the guest, or None
    policy    memhp_default_state=, or None for the kernel's own
    append    more kernel arguments; devices: more QEMU arguments
    limit     seconds after which all waiting for this guest fails
    icount    one nanosecond of the guest's clock for each instruction; one CPU
    """

    def __init__(self, kernel='6.1', memory='3G', dimms=(), product=None, files=(), policy='online_movable',
                 append='', devices=(), limit=300, cpus=2, cpu=CPU, trixie=False, log=None, qmp_path=None,
                 icount=False):
        self.kernel = debugkernel.kernel(kernel) if isinstance(kernel, str) else kernel
        self.dir = tempfile.mkdtemp(prefix='memunplug-guest-')
        self.console_path = os.path.join(self.dir, 'console')
        self.process = self.link = None
        self.log = log or (lambda text: None)
        self._plugs = len(dimms)
        try:
            self._write_image(product, files, trixie)
            self.argv = self._arguments(memory, dimms, policy, append, [*_execution(icount), *devices],
                                        (1 if icount else cpus, cpu), qmp_path)
            self._start(limit)
            self._greet(limit)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _write_image(self, product, files, trixie):
        contents = image.Image()
        image.add_base(contents)
        image.add_modules(contents, self.kernel)
        if trixie:
            image.add_trixie(contents)
        if product:
            product.add_to(contents, self.kernel)
        for path, source in files:
            contents.program(path, source)
        with open(os.path.join(self.dir, 'initrd'), 'wb') as f:
            contents.write(f)

    def _arguments(self, memory, dimms, policy, append, devices, cpus, qmp_path):
        """QEMU's, but for what the host's end of this guest is."""
        arguments = ['console=ttyS0', 'loglevel=5', 'panic=-1', 'oops=panic', 'random.trust_cpu=on', 'tsc=reliable',
                     'no_timer_check',          # on a busy host the emulated timer looks broken at boot
                     *self.kernel.arguments]
        if policy:
            arguments.append('memhp_default_state=' + policy)
        if append:
            arguments.append(append)
        size = parse_size(memory)
        argv = [QEMU, '-nodefaults', '-no-user-config', '-machine', 'q35',
                '-cpu', cpus[1], '-smp', str(cpus[0]),
                '-m', '%dM,slots=16,maxmem=%dM' % (size >> 20, max(MAXMEM, 2 * size) >> 20),
                '-display', 'none', '-no-reboot', '-kernel', kernelimage.direct(self.kernel.image),
                '-append', ' '.join(arguments), '-serial', 'chardev:console',
                '-device', 'virtio-serial-pci,max_ports=2',
                '-device', 'virtserialport,chardev=agent,name=memunplug.agent', '-mon', 'chardev=qmp,mode=control']
        if qmp_path:
            argv += ['-qmp', 'unix:%s,server=on,wait=off' % qmp_path]
        for i, size in enumerate(dimms, 1):
            argv += ['-object', 'memory-backend-ram,id=m%d,size=%d' % (i, parse_size(size)),
                     '-device', 'pc-dimm,id=d%d,memdev=m%d' % (i, i)]
        return argv + list(devices)

    def _start(self, limit, *more):
        """Starts QEMU, with more arguments if need be: there is a link then."""
        agent, agent_far = socket.socketpair()
        qmp, qmp_far = socket.socketpair()
        argv = [*self.argv, '-initrd', os.path.join(self.dir, 'initrd'),
                '-chardev', 'file,id=console,path=' + self.console_path,
                '-chardev', 'socket,id=agent,fd=%d' % agent_far.fileno(),
                '-chardev', 'socket,id=qmp,fd=%d' % qmp_far.fileno(), *more]
        self.started = time.monotonic()
        with open(os.path.join(self.dir, 'qemu.err'), 'wb') as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                            pass_fds=(agent_far.fileno(), qmp_far.fileno()),
                                            preexec_fn=_die_with_parent)
        agent_far.close()
        qmp_far.close()
        self.link = Link(agent, qmp, self.started + limit, self.tail)

    def _greet(self, limit):
        self.link.wait(lambda: self.link.hello, max(120, limit / 4), "the agent's greeting", self.tail)
        self.link.qmp('query-status')
        self.boot_seconds = time.monotonic() - self.started
        self.log('guest %s up after %.1f s' % (self.kernel.release, self.boot_seconds))

    def close(self):
        """Ends the machine, by its own process id, and removes its files."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.link:
            self.link.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    kill = close

    # ---- what it says ----

    @property
    def console(self):
        try:
            with open(self.console_path, errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def tail(self, lines=25):
        try:
            with open(os.path.join(self.dir, 'qemu.err'), errors='replace') as f:
                said = f.read()
        except FileNotFoundError:
            said = ''
        return said + '\n'.join(self.console.splitlines()[-lines:])

    def splats(self):
        """Lines in which the kernel says that it has gone wrong."""
        return [line for line in self.console.splitlines() if SPLAT.search(line)]

    # ---- commands ----

    def spawn(self, command, notify=False, stdin=False):
        """Starts a command (a line for sh, or a list of arguments): Process."""
        argv = ['/bin/sh', '-c', command] if isinstance(command, str) else list(command)
        return self.link.spawn(argv, notify, stdin)

    def run(self, command, timeout=60, input=None):
        """Runs a command to its end: Result(rc, out, err)."""
        process = self.spawn(command, stdin=input is not None)
        if input is not None:
            process.send(input, close=True)
        try:
            return process.wait(timeout)
        except GuestTimeout:
            process.signal(signal.SIGKILL)
            raise

    def check(self, command, timeout=60, input=None):
        """Runs a command that must succeed: its output."""
        r = self.run(command, timeout, input)
        if r.rc:
            raise GuestError("'%s' in the guest: exit status %d\n%s%s" % (command, r.rc, r.out, r.err))
        return r.out

    def put(self, path, contents, mode=0o755):
        self.check(['/bin/sh', '-c', 'mkdir -p "${0%/*}" && cat >"$0" && chmod "$1" "$0"', path, '%o' % mode], input=contents)

    def start_daemon(self, *arguments, timeout=60):
        """Loads the module if the guest has it and starts memunplugd; returns when it is ready: Process."""
        daemon = self.spawn(['start-memunplugd', *arguments], notify=True)
        daemon.wait_note('READY=1', timeout)
        return daemon

    # ---- the hypervisor's side ----

    def qmp(self, command, arguments=None, timeout=30, **more):
        return self.link.qmp(command, {**(arguments or {}), **more}, timeout)

    def mark(self):
        """Number of the next QMP event: for wait_event(since=...)."""
        self.link.pump(0)
        return len(self.link.events)

    def wait_event(self, name, timeout=60, since=0, match=None):
        return self.link.wait_event(name, timeout, since, match)

    def events(self, name=None, since=0):
        return [e for e in self.link.events[since:] if name in (None, e['event'])]

    def dimms(self):
        """Memory devices as the hypervisor has them: {id: (address, size)}."""
        return {d['data']['id']: (d['data']['addr'], d['data']['size'])
                for d in self.qmp('query-memory-devices') if d['type'] == 'dimm'}

    def dimm_range(self, name):
        """A DIMM's physical range, as the helpers take it."""
        address, size = self.dimms()[name]
        return '%#x-%#x' % (address, address + size)

    def reset(self, timeout=120):
        """Resets the machine and waits until it is up again; for guests with -action reboot=reset."""
        since = self.mark()
        self.qmp('stop')                        # no frame of the agent is cut off in the middle
        self.wait_event('STOP', 10, since)
        self.link.forget()
        self.qmp('system_reset')
        self.qmp('cont')
        self.link.wait(lambda: self.link.hello, timeout, "the agent's greeting after the reset", self.tail)

    def add_dimm(self, size, timeout=60):
        """Plugs a DIMM; returns its id when the guest has said that it took it."""
        self._plugs += 1
        name, backend = 'd%d' % self._plugs, 'm%d' % self._plugs
        since = self.mark()
        self.qmp('object-add', {'qom-type': 'memory-backend-ram', 'id': backend, 'size': parse_size(size)})
        self.qmp('device_add', driver='pc-dimm', id=name, memdev=backend)
        event = self.wait_event('ACPI_DEVICE_OST', timeout, since, lambda d: d['info']['source'] in (0, 1, 0x200))
        if event['data']['info']['status'] != 0:
            raise GuestError('the guest refused %s: %s' % (name, event['data']))
        return name

    def host_memory(self):
        """Resident bytes of the QEMU process: (now, peak)."""
        with open('/proc/%d/status' % self.process.pid) as f:
            text = f.read()
        return tuple(int(re.search(r'^%s:\s+(\d+) kB' % key, text, re.M)[1]) << 10 for key in ('VmRSS', 'VmHWM'))

    def reset_host_peak(self):
        with open('/proc/%d/clear_refs' % self.process.pid, 'w') as f:
            f.write('5')

    # ---- the guest's own numbers ----

    def vmstat(self):
        return {k: int(v) for k, v in (line.split() for line in self.check('cat /proc/vmstat').splitlines())}

    def meminfo(self, key):
        """A line of /proc/meminfo, in bytes."""
        return int(re.search(r'^%s:\s+(\d+) kB' % key, self.check('cat /proc/meminfo'), re.M)[1]) << 10


def _execution(icount):
    if icount:
        return ['-accel', 'tcg,thread=single', '-icount', 'shift=0,sleep=off']
    # The cache of translated code counts as the hypervisor's memory: bounded, it does not hide what the guest does.
    return ['-accel', 'tcg,thread=multi,tb-size=32']


def end_on_sigterm():
    """For programs that make guests: a SIGTERM ends them as an exception does, guests and files first."""
    def end(signo, _frame):
        raise SystemExit(128 + signo)
    signal.signal(signal.SIGTERM, end)


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
