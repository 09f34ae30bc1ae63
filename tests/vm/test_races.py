# SPDX-License-Identifier: GPL-2.0-or-later
#
# The two races that page migration was first built around, in 2007, each by its name:
# pages in motion are read back, and probes in the kernel count how often the race was
# really met. Run for longer with MEMUNPLUG_RACE_SECONDS=N tests/run vm/6.1/races.

import os
import re

SECONDS = int(os.environ.get('MEMUNPLUG_RACE_SECONDS', '25'))      # for each way of moving
FULL_SECONDS = 25

# On x86-64 a folio's mapping is 24 bytes into it; arguments are in di, si, dx.
#  race 1  migrate_folio(mapping, dst, src, mode): a mapping, but none in the folio: it is in the swap cache
#          only, so that there was nothing to unmap
#  race 2  folio_get_anon_vma(folio) gives nothing: the last mapping went away before the anon_vma was held
PROBES = '''
set -e; cd /sys/kernel/tracing
echo 'p:race1 migrate_folio map=%di:x64 own=+24(%dx):x64' >>kprobe_events
echo 'r:race2 folio_get_anon_vma ret=$retval:x64' >>kprobe_events
echo 'hist:keys=common_pid if own==0 && map!=0' >events/kprobes/race1/trigger
echo 'hist:keys=common_pid if ret==0' >events/kprobes/race2/trigger
'''
SWAP = '''
set -e; modprobe zram; echo 512M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null; swapon /dev/zram0
'''

# What a run of FULL_SECONDS must have met at the least, well below what is seen: a
# storm that misses its race proves nothing.
LEAST = {'race1': 50, 'race2': 50}


def _hits(g, race, pid):
    """How often a process met a race."""
    text = g.check('cat /sys/kernel/tracing/events/kprobes/%s/hist' % race)
    return sum(int(n) for who, n in re.findall(r'common_pid:\s*(\d+)\s*\}\s*hitcount:\s*(\d+)', text)
               if int(who) == pid)


def _guest(t):
    def prepare(g):
        g.add_dimm('512M')
        g.check('insmod /lib/modules/$(uname -r)/updates/memunplug.ko')
        g.check(SWAP)
        g.check(PROBES)
    return t.shared('races', prepare, memory='768M', limit=300 + 4 * SECONDS)


def _storm(t, race, way):
    g = _guest(t)
    start, end = g.dimm_range('d1').split('-')
    storm = g.spawn(['racestorm', race, str(SECONDS)])
    mover = g.spawn(['racestorm', way, str(SECONDS), start, end])
    moved, stormed = mover.wait(SECONDS + 120), storm.wait(SECONDS + 120)
    t.equal(moved.rc, 0, 'exit status of the mover: ' + moved.err)
    hits = {name: _hits(g, name, mover.pid) for name in LEAST}
    t.note('%s for %d s: %s; %s; met race 1 %d times, race 2 %d times', way, SECONDS, moved.out.strip(),
           stormed.out.strip(), hits['race1'], hits['race2'])
    t.true(re.search(r', bad 0$', stormed.out.strip()), 'contents: ' + stormed.out + stormed.err)
    t.equal(stormed.rc, 0, 'exit status of the storm: ' + stormed.err)
    t.at_least(hits[race], LEAST[race] * SECONDS // FULL_SECONDS, '%s met by %s' % (race, way))


def test_race1_evacuate(t):
    """race 1 (page without a mapping), met again and again by EVACUATE: no page is wrong"""
    _storm(t, 'race1', 'evacuate')


def test_race2_evacuate(t):
    """race 2 (anon_vma freed under way), met again and again by EVACUATE: no page is wrong"""
    _storm(t, 'race2', 'evacuate')


def test_race2_offline(t):
    """race 2 (anon_vma freed under way), met again and again by offline: no page is wrong"""
    _storm(t, 'race2', 'offline')
