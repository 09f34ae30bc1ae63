# SPDX-License-Identifier: GPL-2.0-or-later
#
# memunplug.ko by itself, on each kernel: kmod_test's cases in a guest with memory to
# empty, then unloading. On the debug kernel its memory and locks are watched the while.
# With the hypervisor's part (requests that really come) in test_eject.py.

import os
import re

import debugkernel
import moduleguest
from cases import kernels
from scenario import isolated_blocks

STORM_SECONDS = int(os.environ.get('MEMUNPLUG_STORM_SECONDS', '8'))
CALLS = int(os.environ.get('MEMUNPLUG_IOCTL_CALLS', '4000'))
SEED = int(os.environ.get('MEMUNPLUG_IOCTL_SEED', '1'))
LOAD_STEP = int(os.environ.get('MEMUNPLUG_LOAD_STEP', '50'))
FAILURE_STEP = int(os.environ.get('MEMUNPLUG_FAILURE_STEP', '50'))


def _guest(t):
    limit = 7200 if t.kernel.series == debugkernel.SERIES else 1800
    return t.shared('kmod', moduleguest.prepare, limit=limit + STORM_SECONDS + CALLS / 25, **moduleguest.OPTIONS)


def _part(t, part, seconds=0, **settings):
    """A part of kmod_test that takes this much longer than it must: what it said."""
    g = _guest(t)
    out = moduleguest.kmod_test(g, part, 480 + seconds, settings)
    t.note('%d cases of kmod_test %s', len(re.findall(r'^ok ', out, re.M)), part)
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks after it')
    return out


@kernels('6.1', '6.12', 'debug')
def test_load(t):
    """the module loads, says one line, and its node is root's alone"""
    g = _guest(t)
    said = [line for line in g.check('dmesg').splitlines()
            if 'memunplug: ' in line and 'taint' not in line and 'verification' not in line]
    for line in said:
        t.note(line)
    t.true(said, 'it says nothing')
    t.equal(g.check('stat -c "%a %U" /dev/memunplug').strip(), '600 root', 'the node')


@kernels('6.1', '6.12', 'debug')
def test_interface(t):
    """every call refuses what the contract says it refuses"""
    _part(t, 'interface')


@kernels('6.1', '6.12', 'debug')
def test_evacuate(t):
    """EVACUATE empties ranges, once per page, can be killed, and leaves nothing isolated"""
    _part(t, 'evacuate')


@kernels('6.1', '6.12', 'debug')
def test_gate(t):
    """the gate has one holder, and goes back when its file is closed"""
    _part(t, 'gate')


@kernels('6.1', '6.12', 'debug')
def test_storm(t):
    """random calls at once, killed and closed in their midst, with memory in use, meet documented errnos only"""
    _part(t, 'storm', STORM_SECONDS, MEMUNPLUG_STORM_SECONDS=STORM_SECONDS)


@kernels('6.1', 'debug')
def test_fuzz(t):
    """calls by chance, good and bad at every edge, do what the contract says of each"""
    out = moduleguest.fuzz(_guest(t), CALLS, SEED)
    t.note(re.search(r'^# fuzz: (.*)', out, re.M)[1])


@kernels('debug')
def test_failure(t):
    """each allocation of each call fails in turn: it is refused or done, and nothing stays allocated"""
    g = _guest(t)
    moduleguest.fuzz(g, 1000, SEED)             # what is allocated at first use
    before = moduleguest.allocations(g)
    t.at_least(len(before), 1, 'places where the modules have allocated')
    with moduleguest.wanted_by_the_host(g):
        out = _part(t, 'failure', 1800, MEMUNPLUG_FAILURE_STEP=FAILURE_STEP)
    points = [(m[1], int(m[2])) for m in re.finditer(r'^# (.*): (\d+) points', out, re.M)]
    t.note('failed in turn: %s', ', '.join('%s %d' % p for p in points))
    t.at_least(len(points), 14, 'calls tried')
    t.equal([name for name, n in points if n == 0 and name != 'GET_INFO'], [], 'calls without a point')
    t.equal('\n'.join(moduleguest.grown(before, moduleguest.allocations(g))), '', 'allocated and not freed')


@kernels('debug')
def test_reload(t):
    """callers are killed in calls while the module is unloaded and loaded, which fails at each allocation, too"""
    g, seconds = _guest(t), STORM_SECONDS * 8   # loading takes seconds here
    before = moduleguest.allocations(g)
    out = _part(t, 'reload', 600 + seconds, MEMUNPLUG_STORM_SECONDS=seconds, MEMUNPLUG_LOAD_STEP=LOAD_STEP)
    for line in re.findall(r'^# (reload: .*|load: .*)', out, re.M):
        t.note(line)
    t.at_least(int(re.search(r'load: (\d+) of', out)[1]), 3, 'points of loading')
    t.equal('\n'.join(moduleguest.grown(before, moduleguest.allocations(g))), '', 'allocated and not freed')


@kernels('debug')
def test_watch(t):
    """the kernel has watched all of this: it has not given up its checks of locks and memory"""
    g = _guest(t)
    t.true(re.search(r'debug_locks:\s+1$', g.check('cat /proc/lockdep_stats'), re.M), 'locks are not checked any more')
    t.true('KernelAddressSanitizer initialized' in g.check('dmesg'), 'memory is not checked')


@kernels('6.1', '6.12', 'debug')
def test_unload(t):
    """the module unloads and loads again; the kernel's own eject works after it"""
    g = _guest(t)
    for _ in range(3):
        g.check('rmmod memunplug')
        g.check('insmod /lib/modules/$(uname -r)/updates/memunplug.ko')
    g.check('rmmod memunplug')
    since = g.mark()
    g.qmp('device_del', id='d2')
    g.wait_event('DEVICE_DELETED', 60, since, lambda d: d.get('device') == 'd2')
