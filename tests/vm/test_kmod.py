# SPDX-License-Identifier: GPL-2.0-or-later
#
# memunplug.ko by itself, on each kernel: kmod_test's cases in a guest with memory to
# empty, then unloading. With the hypervisor's part (requests that really come) in
# test_eject.py.

import os
import re

from cases import kernels
from product import BROKEN
from scenario import isolated_blocks


def _guest(t):
    def prepare(g):
        # Plugged after boot: what the guest itself uses is elsewhere.
        for _ in range(2):
            g.add_dimm('512M')
        g.check('insmod /lib/modules/$(uname -r)/updates/memunplug.ko')
    return t.shared('kmod', prepare, memory='1536M', limit=900 + STORM_SECONDS)


STORM_SECONDS = int(os.environ.get('MEMUNPLUG_STORM_SECONDS', '8'))


def _part(t, part, seconds=0):
    g = _guest(t)
    t.true('kmod_test' not in BROKEN, BROKEN.get('kmod_test'))
    r = g.run(['env', 'MEMUNPLUG_STORM_SECONDS=%d' % seconds, 'kmod_test', part], 480 + seconds)
    passed = len(re.findall(r'^ok ', r.out, re.M))
    failed = re.findall(r'^not ok .*', r.out, re.M)
    t.note('%d cases of kmod_test %s, %d failed', passed + len(failed), part, len(failed))
    t.true(not failed and r.rc == 0 and passed > 0, 'exit status %d\n%s%s' % (r.rc, r.out, r.err))
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks after it')


@kernels('6.1', '6.12')
def test_load(t):
    """the module loads, says one line, and its node is root's alone"""
    g = _guest(t)
    said = [line for line in g.check('dmesg').splitlines()
            if 'memunplug: ' in line and 'taint' not in line and 'verification' not in line]
    for line in said:
        t.note(line)
    t.true(said, 'it says nothing')
    t.equal(g.check('stat -c "%a %U" /dev/memunplug').strip(), '600 root', 'the node')


@kernels('6.1', '6.12')
def test_interface(t):
    """every call refuses what the contract says it refuses"""
    _part(t, 'interface')


@kernels('6.1', '6.12')
def test_evacuate(t):
    """EVACUATE empties ranges, once per page, can be killed, and leaves nothing isolated"""
    _part(t, 'evacuate')


@kernels('6.1', '6.12')
def test_gate(t):
    """the gate has one holder, and goes back when its file is closed"""
    _part(t, 'gate')


@kernels('6.1', '6.12')
def test_storm(t):
    """random calls at once, killed and closed in their midst, with memory in use, meet documented errnos only"""
    _part(t, 'storm', STORM_SECONDS)


@kernels('6.1', '6.12')
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
