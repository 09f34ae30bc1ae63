# SPDX-License-Identifier: GPL-2.0-or-later
#
# The kernel's own path, without memunplug: what it costs there is what the other cases
# are measured against, in the same run.

from cases import kernels
from scenario import Eject, OST_OK, OST_PENDING, Workload


@kernels('6.1', '6.12')
def test_plain(t):
    """plain kernel: device_del of a DIMM, 25 % used, scattered: above 2 migrations per used page"""
    g = t.guest(memory='1536M', dimms=['2G'], product=t.plain(), limit=240)
    work = Workload(g, g.dimm_range('d1'), share=25, seed=7)
    eject = Eject(g, 'd1')
    eject.wait_deleted(120)
    eject.wait_answer(OST_OK)
    t.equal(eject.answers(), [OST_PENDING, OST_OK], '_OST codes')
    t.equal(eject.memory_lost, eject.size, 'memory gone')
    t.note(eject.figures())
    checked, bad = work.end()
    t.note('pages checked %d, bad %d', checked, bad)
    t.equal(bad, 0, 'bad pages')
    t.at_least(eject.ratio, 2.0, 'migrations per used page')
    t.results['plain'] = {'ratio': eject.ratio, 'seconds': eject.seconds}
