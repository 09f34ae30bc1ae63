# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the guest tests have in common: a workload at a chosen place, an eject and what
# it cost, and the real clients of the interfaces (varlinkctl, busctl, memunplugctl).

import copy
import json
import re
import signal
import time

from machine import GuestError

SOCKET = '/run/memunplug/org.memunplug'
BUS = ('org.memunplug1', '/org/memunplug1', 'org.memunplug1.Manager')
MIB = 1 << 20
FINAL = ('done', 'partial', 'failed', 'cancelled')

OST_EJECT = (3, 0x103)                          # sources of a removal: asked from outside, or by the guest
OST_OK, OST_FAILURE, OST_UNSUPPORTED, OST_IN_USE, OST_BUSY, OST_DEPENDENCY, OST_PENDING = (
    0, 1, 0x80, 0x81, 0x82, 0x83, 0x84)


# ---- memory in use ----

class Workload:
    """The verifying workload, running in the guest."""

    def __init__(self, guest, ranges='', share=25, seed=1, compact=False, size=None, touch=False, pause=None,
                 timeout=120):
        argv = ['workload', '--share=%g' % share, '--seed=%d' % seed]
        if ranges:
            argv.append('--range=' + ranges)
        if size:
            argv.append('--bytes=%d' % size)
        if pause is not None:
            argv.append('--pause=%d' % pause)
        argv += ['--compact'] * compact + ['--touch'] * touch
        self.process = guest.spawn(argv)
        self.pages = int(self.process.wait_line(r'^ready, pages (\d+)', timeout)[1])

    def on(self, guest):
        """The same one, in a guest that goes on from a state of this one's."""
        other = copy.copy(self)
        other.process = guest.link.processes[self.process.ident]
        return other

    def verify(self, timeout=120):
        """Checks every page from now on: (pages checked since the start, bad ones)."""
        self.process.signal(signal.SIGUSR1)
        m = self.process.wait_line(r'^pages checked (\d+), bad (\d+)', timeout)
        return int(m[1]), int(m[2])

    def end(self, timeout=120):
        self.process.signal(signal.SIGTERM)
        m = self.process.wait_line(r'^pages checked (\d+), bad (\d+)', timeout)
        self.process.wait(timeout)
        return int(m[1]), int(m[2])


class Holder:
    """A process of an ordinary user that keeps pages from moving."""

    def __init__(self, guest, ranges, pages=640, later=False, unmap=False, timeout=120):
        self.process = guest.spawn(['holder', '--range=' + ranges, '--pages=%d' % pages] + ['--later'] * later +
                                   ['--unmap'] * unmap)
        if later:
            self.process.wait_line('^ready', timeout)
        else:
            self._wait_held(timeout)
        self.pid = self.process.pid

    def _wait_held(self, timeout):
        self.pages = int(self.process.wait_line(r'^holding (\d+) pages', timeout)[1])

    def hold_now(self, timeout=60):
        self.process.signal(signal.SIGUSR1)
        self._wait_held(timeout)

    def end(self, timeout=30):
        self.process.signal(signal.SIGTERM)
        return self.process.wait(timeout)


class Staller:
    """A process whose I/O never ends: mode cache, direct or buffers (see staller.c); cache also of a file on a disk."""

    def __init__(self, guest, ranges, mode, file=None, timeout=120):
        self.process = guest.spawn(['staller', '--range=' + ranges, '--mode=' + mode,
                                    *(['--file=' + file] if file else [])])
        m = self.process.wait_line(r'^holding (\d+) pages as pid (\d+)', timeout)
        self.pages, self.pid = int(m[1]), int(m[2])
        if mode == 'direct' and self.pages > 0:
            self.process.wait_line('^asked', timeout)

    def end(self, timeout=30):
        self.process.signal(signal.SIGTERM)
        return self.process.wait(timeout)


class Disk:
    """A disk of the guest that forgets all in the end, and can be made to stand still: /dev/vda."""

    ARGUMENTS = ['-drive', 'if=none,id=disk,format=raw,snapshot=on,file.driver=null-co,file.read-zeroes=on,file.size=128M',
                 '-device', 'virtio-blk-pci,drive=disk']

    def __init__(self, guest, mountpoint):
        self.guest = guest
        guest.check('modprobe virtio_blk; modprobe crc32c_generic; modprobe ext4; mkdir -p %s; '
                    'mke2fs -b 4096 /dev/vda >/dev/null 2>&1 && mount -t ext4 /dev/vda %s' % (mountpoint, mountpoint))

    def stall(self, stalled=True):
        """One byte in a second, or all of them: what waits then goes on at once."""
        self.guest.qmp('block_set_io_throttle', device='disk', bps=int(stalled), bps_rd=0, bps_wr=0, iops=0, iops_rd=0,
                       iops_wr=0)


def used_pages(guest, ranges):
    return int(re.match(r'used (\d+)', guest.check(['usedpages', ranges]))[1])


# ---- an eject from the hypervisor's side ----

class Eject:
    """device_del of a DIMM: what it did, seen from outside, and what it cost inside."""

    def __init__(self, guest, dimm, measure=True):
        self.guest, self.dimm = guest, dimm
        self.measured = measure
        if measure:
            self.ranges = guest.dimm_range(dimm)
            self.used = used_pages(guest, self.ranges)
            self.memory_before = guest.meminfo('MemTotal')
            self.before = guest.vmstat()
            self.rss_before = guest.host_memory()[0]
            guest.reset_host_peak()
        self.size = guest.dimms()[dimm][1]
        self.slot = None
        self.since = guest.mark()
        self.begin = time.monotonic()
        guest.qmp('device_del', id=dimm)

    def answers(self):
        """_OST codes of this device so far, in order."""
        codes = []
        for event in self.guest.events('ACPI_DEVICE_OST', self.since):
            info = event['data']['info']
            if info.get('device') == self.dimm:
                self.slot = info['slot']
            if info['source'] in OST_EJECT and (info.get('device') == self.dimm or
                                                ('device' not in info and info['slot'] == self.slot)):
                codes.append(info['status'])
        return codes

    def wait_answer(self, code, timeout=60):
        """Until this _OST code has come."""
        self.guest.link.wait(lambda: code in self.answers(), timeout, '_OST %#x for %s' % (code, self.dimm),
                             lambda: 'codes so far: %s' % [hex(c) for c in self.answers()])
        return time.monotonic() - self.begin

    def wait_final(self, timeout=60):
        """The first _OST that says how it ended; or 'deleted'."""
        def look():
            if self.deleted():
                return 'deleted'
            final = [c for c in self.answers() if c != OST_PENDING]
            return hex(final[0]) if final else None
        value = self.guest.link.wait(look, timeout, 'final answer for ' + self.dimm,
                                     lambda: 'codes so far: %s' % [hex(c) for c in self.answers()])
        self.seconds = time.monotonic() - self.begin
        return value if value == 'deleted' else int(value, 16)

    def deleted(self):
        return any(e['data'].get('device') == self.dimm for e in self.guest.events('DEVICE_DELETED', self.since))

    def wait_deleted(self, timeout=120):
        final = self.wait_final(timeout)
        if final != 'deleted':
            raise GuestError('%s is not deleted but answered with %#x' % (self.dimm, final))
        event = next(e for e in self.guest.events('DEVICE_DELETED', self.since)
                     if e['data'].get('device') == self.dimm)
        self.seconds = event['monotonic'] - self.begin
        if self.measured:
            after = self.guest.vmstat()
            self.migrated = after['pgmigrate_success'] - self.before['pgmigrate_success']
            self.ratio = self.migrated / max(1, self.used)
            self.rss_peak = self.guest.host_memory()[1]
            self.memory_lost = self.memory_before - self.guest.meminfo('MemTotal')
        return event

    def figures(self):
        return ('%s: %d of its pages used, %d migrations (%.3f per used page), %.2f s, host peak %+.1f MiB'
                % (self.dimm, self.used, self.migrated, self.ratio, self.seconds,
                   (self.rss_peak - self.rss_before) / MIB))


def workers_in_kernel(guest):
    """Workers of the service that wait in the kernel where no signal reaches: folders in /proc."""
    return guest.run("grep -lx 'mu-.*' /proc/[0-9]*/task/*/comm | xargs -rn1 dirname | while read p; do "
                     "grep -q '^State:.D' $p/status && echo $p; done").out.split()


# ---- clients of the interfaces ----

class CallError(GuestError):
    """An error reply: name and parameters."""

    def __init__(self, name, parameters, text):
        super().__init__('%s %s' % (name, parameters or text))
        self.name, self.parameters = name, parameters


def _replies(text):
    """JSON documents, one per line or as a JSON text sequence."""
    return [json.loads(part) for part in re.split(r'[\x1e\n]+', text) if part.strip()]


def varlink_argv(method, parameters=None, more=False):
    if '.' not in method:
        method = 'org.memunplug.' + method
    return ['varlinkctl', 'call', '-j', *(['--more'] if more else []), SOCKET, method, json.dumps(parameters or {})]


def varlink(guest, method, parameters=None, more=False, timeout=60, user=None):
    """A call by varlinkctl of Debian 13: the reply's parameters, or with more all of them."""
    argv = varlink_argv(method, parameters, more)
    if user:
        argv = ['setpriv', '--reuid=' + user, '--regid=' + user, '--clear-groups', *argv]
    r = guest.run(argv, timeout)
    replies = _replies(r.out)
    if r.rc:
        m = re.search(r'call .*failed: (\S+)', r.err)
        raise CallError(m[1] if m else '', replies[-1] if replies else {}, r.err.strip())
    return replies if more else replies[0]


def varlink_stream(guest, method, parameters=None):
    """A call with more that goes on: (process, list of (time, reply) that grows)."""
    replies = []
    argv = varlink_argv(method, parameters, more=True)
    process = guest.spawn([argv[0], '--timeout=infinity', *argv[1:]])

    def take(line, when):
        replies.extend((when, reply) for reply in _replies(line))
    process.on_line = take
    return process, replies


class Watch:
    """Monitor by Varlink, from before whatever happens next."""

    def __init__(self, guest, daemon=None):
        self.guest, self.daemon = guest, daemon
        self.process, self.replies = varlink_stream(guest, 'Monitor')
        self.wait(lambda: any(r.get('event') == 'ready' for _, r in self.replies), 'ready')

    def jobs(self, ident=None):
        """All reports of jobs so far, or of one."""
        return [r['job'] for _, r in self.replies
                if r.get('event') == 'job' and (ident is None or r['job']['id'] == ident)]

    def wait(self, ready, what, timeout=120):
        return self.guest.link.wait(ready, timeout, what + ' by Monitor', lambda: 'last: %s; log: %s' % (
            self.replies[-3:], self.daemon.err[-3000:] if self.daemon else ''))

    def wait_moving(self, ident=None):
        """Until pages of a job have moved: its id."""
        return self.wait(lambda: [j['id'] for j in self.jobs(ident)
                                  if j['state'] == 'evacuating' and j['evacuatedBytes'] > 0], 'moving pages')[0]

    def wait_final(self, ident):
        """Until a job has ended: its last state."""
        return self.wait(lambda: [j['state'] for j in self.jobs(ident) if j['state'] in FINAL],
                         'the end of job %d' % ident)[0]

    def end(self):
        self.process.signal(signal.SIGTERM)


def bus_argv(member, signature='', *values, target=BUS):
    return ['busctl', '--system', '--json=short', 'call', *target, member, *([signature] if signature else []),
            *map(str, values)]


def bus(guest, member, signature='', *values, target=BUS, timeout=60, user=None):
    """A method call by busctl: the reply's values."""
    argv = bus_argv(member, signature, *values, target=target)
    if user:
        argv = ['setpriv', '--reuid=' + user, '--regid=' + user, '--clear-groups', *argv]
    r = guest.run(argv, timeout)
    if r.rc:
        raise CallError('', {}, r.err.strip())
    return json.loads(r.out)['data'] if r.out.strip() else None


def bus_property(guest, path, interface, name):
    out = guest.check(['busctl', '--system', '--json=short', 'get-property', BUS[0], path, interface, name])
    return json.loads(out)['data']


def ctl(guest, *arguments, timeout=60, user=None):
    """memunplugctl: Result."""
    argv = ['memunplugctl', *arguments]
    if user:
        argv = ['setpriv', '--reuid=' + user, '--regid=' + user, '--clear-groups', *argv]
    return guest.run(argv, timeout)


def jobs(guest):
    return [r['job'] for r in varlink(guest, 'ListJobs', more=True) if 'job' in r]


def ctl_jobs(guest):
    """The same as memunplugctl tells them, which takes a guest a third of varlinkctl's time."""
    return json.loads(guest.check(['memunplugctl', 'jobs', '--json=short']))


def job(guest, ident):
    return varlink(guest, 'ListJobs', {'id': ident})['job']


def configure(guest, daemon, text):
    """What the daemon reads from now on."""
    guest.put('/etc/memunplug/memunplugd.conf', text, 0o644)
    seen = len(daemon.notes)
    daemon.signal(signal.SIGHUP)
    guest.link.wait(lambda: any('READY=1' in n for n in daemon.notes[seen:]), 20, 'the end of the reload')


# ---- the guest's memory blocks ----

# One process for all of them: with two for each block, this was the slowest step of many a case.
BLOCKS = "cd /sys/devices/system/memory && grep -s '' memory[0-9]*/state memory[0-9]*/valid_zones || :"


def blocks_of(guest, dimm):
    """The blocks of a DIMM."""
    start, size = guest.dimms()[dimm]
    return list(range(start >> 27, (start + size) >> 27))


def blocks(guest):
    """{index: (state, zones)} as sysfs has it."""
    table = {}
    for line in guest.check(BLOCKS).splitlines():
        index, attribute, text = re.fullmatch(r'memory(\d+)/(\w+):(.*)', line).groups()
        table.setdefault(int(index), {})[attribute] = text
    return {index: (attributes['state'], attributes.get('valid_zones', ''))
            for index, attributes in table.items() if 'state' in attributes}


def states(guest):
    return {index: state for index, (state, _) in blocks(guest).items()}


def wait_all_online(guest, timeout):
    """Until no block is offline, or the time is over: the caller compares."""
    guest.run('timeout %d sh -c "while grep -q offline /sys/devices/system/memory/memory*/state; do sleep 0.05; done"'
              % timeout, timeout + 10)


def isolated_blocks(guest):
    """How many pageblocks are of type Isolate: 0 whenever nothing is under way."""
    total = 0
    header = None
    for line in guest.check('cat /proc/pagetypeinfo').splitlines():
        if line.startswith('Number of blocks type'):
            header = line.split()[4:]
        elif header and line.startswith('Node') and 'Isolate' in header:
            counts = line.split('zone')[1].split()[1:]
            total += int(counts[header.index('Isolate')])
    return total
