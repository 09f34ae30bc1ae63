# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hypervisor's end of a balloon: the device, what QEMU asks of it and says of it. What
# must be true of that is the cases'.

import re
import time

from channel import GuestTimeout
from scenario import MIB

NAME = 'memunplug_balloon'
MODULE = '/lib/modules/$(uname -r)/updates/%s.ko' % NAME
STOCK = 'virtio_balloon'
PAGE_POISON, REPORTING = 4, 5                   # feature bits
STEP = 64 * MIB                                 # what the driver takes or gives back at a time
STORM = 100                                     # targets of one
CONFIG_OFFSET, POISON_OFFSET = 0x2000, 12       # in QEMU's fifth region of a device; in the balloon's configuration


def device(name='b1', **options):
    """QEMU arguments of a device; options: those of virtio-balloon-pci, with _ for -."""
    return ['-device', ','.join(['virtio-balloon-pci', 'id=' + name] +
                                ['%s=%s' % (k.replace('_', '-'), v) for k, v in options.items()])]


class Balloon:
    """The device b1 of a guest, whose own memory is full_size."""

    def __init__(self, guest, full_size):
        self.guest, self.full = guest, full_size

    def load(self, *parameters):
        self.guest.check('insmod %s %s' % (MODULE, ' '.join(parameters)))

    def actual(self):
        """What the guest has left, as QEMU tells: bytes."""
        return self.guest.qmp('query-balloon')['actual']

    def ask(self, size):
        self.guest.qmp('balloon', value=size)

    def wait(self, size, timeout=120):
        """Until the guest has this many bytes, to the page."""
        return self.wait_until(lambda actual: actual == size, timeout, '%d MiB' % (size // MIB))

    def wait_until(self, good, timeout, what):
        # QEMU holds back events that come fast, so that the last of them may be old: it is asked, too.
        end = time.monotonic() + timeout
        while True:
            actual = self.actual()
            if good(actual):
                return actual
            if time.monotonic() > end:
                raise GuestTimeout('the balloon did not come to %s: %.2f MiB; log: %s' % (
                    what, actual / MIB, self.log()[-5:]))
            since = self.guest.mark()
            try:
                self.guest.wait_event('BALLOON_CHANGE', 0.3, since)
            except GuestTimeout:
                pass

    def settle(self, size, timeout=120):
        self.ask(size)
        self.wait(size, timeout)

    def log(self):
        """The driver's lines."""
        return [line for line in self.guest.check('dmesg').splitlines() if NAME + ' virtio' in line]

    def statistics(self, newer_than=0, timeout=60):
        """Figures that the guest sent after this time of QEMU's: (time, {name: value})."""
        path = '/machine/peripheral/b1'
        self.guest.qmp('qom-set', path=path, property='guest-stats-polling-interval', value=1)

        def look():
            told = self.guest.qmp('qom-get', path=path, property='guest-stats')
            return told if told['last-update'] > newer_than else None
        end = time.monotonic() + timeout
        while not look():
            if time.monotonic() > end:
                raise GuestTimeout('no statistics')
            self.guest.check('usleep 300000')
        told = look()
        return told['last-update'], {k: v for k, v in told['stats'].items() if v != 2 ** 64 - 1}

    def driver(self):
        """Who has the device: the driver's name or ''."""
        return self.guest.check('for d in /sys/bus/virtio/devices/*; do grep -q 0x0005 $d/device && '
                                '{ readlink $d/driver || echo; }; done').strip().rpartition('/')[2]

    def negotiated(self):
        """Numbers of the feature bits that driver and device agreed on."""
        bits = self.guest.check('for d in /sys/bus/virtio/devices/*; do grep -q 0x0005 $d/device && '
                                'cat $d/features; done').strip()
        return {number for number, bit in enumerate(bits) if bit == '1'}

    def poison_value(self):
        """What free pages are filled with, as the device has been told: its configuration, read at the host."""
        path = self.guest.check('for d in /sys/bus/virtio/devices/*; do grep -q 0x0005 $d/device && '
                                'cat $d/../resource; done').splitlines()
        address = int(path[4].split()[0], 16) + CONFIG_OFFSET + POISON_OFFSET
        said = self.guest.qmp('human-monitor-command', {'command-line': 'xp /1wx %#x' % address})
        return int(said.split(':')[1], 16)

    def bind(self, driver, bound=True):
        """By hand, as an administrator does it."""
        self.guest.check('for d in /sys/bus/virtio/devices/*; do grep -q 0x0005 $d/device && '
                         'echo ${d##*/} >/sys/bus/virtio/drivers/%s/%s; done; true'
                         % (driver, 'bind' if bound else 'unbind'))


FLOOR_MIB = ((0, 8), (128, 72), (512, 168), (2048, 360))    # of MemTotal: what must stay available, by straight lines


def floor(total):
    """What must stay available in a guest that has so much left: bytes."""
    mib = total / MIB
    (low, least), (high, most) = next(pair for pair in zip(FLOOR_MIB, FLOOR_MIB[1:]) if mib <= pair[1][0])
    return int((least + (mib - low) * (most - least) / (high - low)) * MIB)


class LeastAvailable:
    """Watches MemAvailable in the guest, and the floor of what it had in total at that time."""

    def __init__(self, guest):
        self.process = guest.spawn('trap "exit 0" TERM; while :; do grep -E "MemTotal|MemAvailable" /proc/meminfo | '
                                   'tr "\\n" " "; echo; usleep 20000; done')
        self.least, self.margin = 1 << 60, 1 << 60
        self.process.on_line = self._take

    def _take(self, line, _when):
        m = re.match(r'MemTotal:\s+(\d+) kB\s+MemAvailable:\s+(\d+) kB', line)
        if m:
            total, available = int(m[1]) << 10, int(m[2]) << 10
            self.least = min(available, self.least)
            self.margin = min(available - floor(total), self.margin)

    def end(self):
        """In bytes: the least that was available, and the least beyond the floor."""
        self.process.signal(15)
        self.process.wait(60)
        return self.least, self.margin


class WorkerRuns:
    """Counts how often the driver's worker runs, by the kernel's own tracepoint."""

    EVENT = '/sys/kernel/tracing/events/workqueue/workqueue_execute_start/'

    def __init__(self, guest):
        self.guest = guest
        guest.check("grep -q hist: %strigger || echo 'hist:keys=function.sym' >%strigger" % (self.EVENT, self.EVENT))

    def count(self):
        text = self.guest.check('cat %shist' % self.EVENT)
        return sum(int(n) for n in re.findall(r'mu_target_work\b.*?hitcount:\s*(\d+)', text))


def storm(balloon, size):
    """The hypervisor changes its mind every 10 ms."""
    for i in range(STORM):
        balloon.ask(size + (4, -4)[i % 2] * MIB)
        time.sleep(0.01)
