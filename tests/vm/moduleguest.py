# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest for the modules by themselves: memory to empty, a balloon, a virtio-mem device,
# the modules, and kmod_test to call them. It also knows what of the kernel's memory
# the modules hold, which the debug kernel says. What must hold is the cases'.

import contextlib
import re

import balloon
import debugkernel
from cases import Failure
from product import BROKEN
from scenario import MIB

OPTIONS = {
    'memory': '1536M',
    'devices': [*balloon.device(), '-object', 'memory-backend-ram,id=vm1,size=256M',
                '-device', 'virtio-mem-pci,id=v1,memdev=vm1,requested-size=0'],
}
SLOW = {debugkernel.SERIES: 32}                 # where of the calls that take seconds one in so many is made
GIVEN = 128 * MIB                               # what the host wants while it wants any


def prepare(g):
    # Plugged after boot: what the guest itself uses is elsewhere. The debug kernel moves 500 pages in a second.
    for _ in range(2):
        g.add_dimm('128M' if g.kernel.series == debugkernel.SERIES else '512M')
    g.check('insmod /lib/modules/$(uname -r)/updates/memunplug.ko')


def _complete(g):
    """The devices' drivers, too."""
    g.check('grep -q debugfs /proc/mounts || mount -t debugfs debugfs /sys/kernel/debug; modprobe virtio_mem && '
            '{ [ -e /dev/memunplug-balloon ] || insmod /lib/modules/$(uname -r)/updates/memunplug_balloon.ko; }')


def kmod_test(g, part, timeout, settings):
    """A part of kmod_test, with settings in its environment: what it said."""
    if 'kmod_test' in BROKEN:
        raise Failure(BROKEN['kmod_test'])
    r = g.run(['env', *('%s=%s' % item for item in settings.items()), 'kmod_test', part], timeout)
    if r.rc or re.search(r'^not ok ', r.out, re.M) or not re.search(r'^ok ', r.out, re.M):
        raise Failure('exit status %d\n%s%s' % (r.rc, r.out, r.err))
    return r.out


@contextlib.contextmanager
def wanted_by_the_host(g):
    """The host wants some memory by the balloon, and in the end none."""
    b = balloon.Balloon(g, None)
    full = b.actual()
    b.ask(full - GIVEN)
    yield
    b.settle(full)


def fuzz(g, calls, seed):
    """Calls by chance: kmod_test's report."""
    _complete(g)
    with wanted_by_the_host(g):
        return kmod_test(g, 'fuzz', 300 + calls / 25, {
            'MEMUNPLUG_IOCTL_CALLS': calls, 'MEMUNPLUG_IOCTL_SEED': seed,
            'MEMUNPLUG_IOCTL_SLOW': SLOW.get(g.kernel.series, 1)})


def allocations(g):
    """
    What the modules have allocated and not freed: {place: (times, stack)}. Also where a module that is
    no longer there has: those places are numbers. Needs slub_debug=U.
    """
    text = g.check('for cache in /sys/kernel/slab/kmalloc-*; do echo 1 >$cache/shrink; done; '
                   'cat /sys/kernel/debug/slab/kmalloc-*/alloc_traces; grep "\\[memunplug" /proc/vmallocinfo || :', 120)
    found = {}
    for record in re.split(r'^(?=\s*\d+ \S)', text, flags=re.M):
        m = re.match(r'\s*(\d+) (\S+)', record)
        of_module = re.search(r'^.*(\[memunplug|0xffffffff[ac]\w+).*', record, re.M)
        if m and of_module:
            place = re.sub(r' age=.*', '', of_module[0]).strip()
            times, stack = found.get(place, (0, ''))
            found[place] = times + int(m[1]), stack + record
    for line in re.findall(r'^0x.*\[memunplug.*', text, re.M):
        place = 'vmalloc ' + line.split()[2]
        found[place] = found.get(place, (0,))[0] + 1, line
    return found


def grown(before, after):
    """Places that hold more than before, with their stacks."""
    return ['%s: %d, was %d\n%s' % (place, times, before.get(place, (0,))[0], stack)
            for place, (times, stack) in after.items() if times > before.get(place, (0,))[0]]
