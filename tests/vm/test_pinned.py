# SPDX-License-Identifier: GPL-2.0-or-later
#
# A DIMM that cannot go: an ordinary user's process keeps 640 of its pages. The answer
# is bounded and true, nothing stays half done, and others are served meanwhile.

from cases import kernels
from scenario import (Eject, Holder, OST_BUSY, OST_IN_USE, OST_OK, OST_PENDING, Watch, Workload, blocks, ctl,
                      isolated_blocks, job, jobs, states, varlink)

DEADLINE = 40                                   # seconds; generous, for hosts that are busy


def _guest(t):
    t.need_product()

    def prepare(g):
        g.put('/etc/memunplug/memunplugd.conf',
              '[Unplug]\nDeadlineSec=%ds\nDeadlinePerGiBSec=0\n' % DEADLINE, 0o644)
        g.daemon = g.start_daemon()
        g.work = Workload(g, g.dimm_range('d1') + ',' + g.dimm_range('d2'), share=10, seed=3)
        g.holder = Holder(g, g.dimm_range('d1'))
        g.memory_before, g.states_before = g.meminfo('MemTotal'), states(g)
    return t.shared('pinned', prepare, chained=True, memory='1536M', dimms=['512M', '512M'], trixie=True, limit=280)


@kernels('6.1', '6.12')
def test_answer(t):
    """device_del of a DIMM with held pages: the answer comes within the deadline, and says in use"""
    g = _guest(t)
    t.at_least(g.holder.pages, 600, 'pages held')
    eject = Eject(g, 'd1', measure=False)
    second = Eject(g, 'd2', measure=False)
    final = eject.wait_final(DEADLINE + 60)
    t.note('answer after %.1f s: %#x', eject.seconds, final if final != 'deleted' else -1)
    t.true(final in (OST_IN_USE, OST_BUSY), 'the answer is %s' % final)
    t.equal(final, OST_IN_USE, 'the answer')
    t.at_most(eject.seconds, DEADLINE + 1, 'seconds to the answer')
    t.equal(eject.answers()[0], OST_PENDING, 'the first answer')
    # beside it, the other DIMM went
    final = second.wait_final(DEADLINE + 60)
    if final != 'deleted':
        t.fail('the other DIMM is answered with %#x; log: %s' % (final, g.daemon.err))
    second.wait_answer(OST_OK)
    t.note('the other DIMM went after %.1f s', second.seconds)


@kernels('6.1', '6.12')
def test_nothing_left(t):
    """after it nothing of that DIMM is offline or isolated, in the zone it was in"""
    g = _guest(t)
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    first, size = g.dimms()['d1'][0] >> 27, g.dimms()['d1'][1] >> 27
    now = blocks(g)
    for index in range(first, first + size):
        t.equal(now[index][0], 'online', 'state of block %d' % index)
        t.equal(now[index][1].split()[0], 'Movable', 'zone of block %d' % index)
    t.equal(g.memory_before - g.meminfo('MemTotal'), 512 << 20, 'memory gone with the other DIMM')


@kernels('6.1', '6.12')
def test_culprit(t):
    """what stands in the way is named: class pinned, and who if that can be known"""
    g = _guest(t)
    first, size = g.dimms()['d1'][0] >> 27, g.dimms()['d1'][1] >> 27
    blockers = []
    for index in range(first, first + size):
        explained = varlink(g, 'Explain', {'block': index})
        t.equal(explained['verdict'], 'unmovable', 'verdict of block %d' % index)
        t.true('cannot be moved' in explained['reason'], 'reason of block %d: %s' % (index, explained['reason']))
        blockers += explained['blockers']
    t.equal({b['class'] for b in blockers}, {'pinned'}, 'classes of the blockers')
    pids = {p for b in blockers for p in b.get('pids', [])}
    t.note('%s; pids named: %s (the holder is %d)', explained['reason'], sorted(pids), g.holder.pid)
    t.equal(pids, {g.holder.pid}, 'pids named; memunplug-owners: %s' % g.run('cat /run/owners.log').out)
    named = sum(g.holder.pid in b.get('pids', []) for b in blockers)
    t.note('the holder is named for %d of %d pages', named, len(blockers))
    t.at_least(named / len(blockers), 0.95, 'part of the pages whose holder is named')
    r = ctl(g, 'explain', str(first))
    t.true(str(g.holder.pid) in r.out, 'memunplugctl explain: %s%s' % (r.out, r.err))
    device = next(r['device'] for r in varlink(g, 'ListDevices', more=True) if r['device']['firstBlock'] == first)
    t.equal(device['verdict'], 'unmovable', 'verdict of the device')
    t.true('cannot be moved' in device['reason'], 'reason of the device: %s' % device['reason'])
    refused = varlink(g, 'Plan', {'device': device['name']})
    t.true(not refused['feasible'] and refused['reason'], 'the plan: %s' % refused)
    r = ctl(g, 'unplug', device['name'])
    t.note('memunplugctl: ' + r.err.strip())
    t.true(r.rc != 0 and r.err, 'memunplugctl unplug: %d %s' % (r.rc, r.err))
    for record in jobs(g):                      # refused before it began, or tried: a record says the same
        if record['state'] == 'failed':
            t.equal((record['cause'], record['removedBytes']), ('in_use', 0), 'record')


@kernels('6.1', '6.12')
def test_goes_later(t):
    """when the holder has ended, the same DIMM goes, with its contents moved intact"""
    g = _guest(t)
    t.equal(g.holder.end().rc, 0, "the holder's exit status")
    eject = Eject(g, 'd1', measure=False)
    t.equal(eject.wait_final(DEADLINE + 60), 'deleted', 'the answer')
    eject.wait_answer(OST_OK)
    checked, bad = g.work.end()
    t.note('pages checked %d, bad %d', checked, bad)
    t.equal(bad, 0, 'bad pages')


@kernels('6.1', '6.12')
def test_pinned_meanwhile(t):
    """pages pinned in mid-evacuation: the job ends in time with 0x81, names page class and process, all is back"""
    t.need_product()
    deadline = 90                               # a busy host needs most of it to get through the half that is in use
    g = t.guest(memory='1536M', dimms=['1G'], trixie=True, limit=400)
    g.put('/etc/memunplug/memunplugd.conf', '[Unplug]\nDeadlineSec=%ds\nDeadlinePerGiBSec=0\n' % deadline, 0o644)
    daemon = g.start_daemon()
    holder = Holder(g, g.dimm_range('d1'), later=True)
    work = Workload(g, g.dimm_range('d1'), share=50, seed=19)
    before = blocks(g)
    watch = Watch(g, daemon)
    eject = Eject(g, 'd1', measure=False)
    ident = watch.wait_moving()
    holder.hold_now()
    final = eject.wait_final(deadline + 30)
    watch.wait_final(ident)
    record = job(g, ident)
    t.note('%s pinned, answer %s after %.1f s: %s', holder.pages, final if final == 'deleted' else hex(final),
           eject.seconds, record.get('reason'))
    # Those that had left the DIMM already do not count; if all had, it could go.
    left = [b for b in record.get('blockers', []) if b['class'] == 'pinned']
    t.true(left, 'no pinned page among the blockers: %s' % record)
    t.equal((final, record['state'], record['cause']), (OST_IN_USE, 'failed', 'in_use'), 'answer and record')
    t.at_most(record['finishedAt'] - record['deadlineAt'], 1000000, 'usec from the deadline to the end of the job')
    t.at_most(eject.seconds, deadline + 5, 'seconds to the answer, seen from outside')
    pids = {p for b in left for p in b.get('pids', [])}
    t.note('pids named: %s (the holder is %d)', sorted(pids), holder.pid)
    if pids != {holder.pid}:
        t.fail('the holder is not named; memunplug-owners: %s; log: %s'
               % (g.run('cat /run/owners.log').out, daemon.err))
    t.equal(blocks(g), before, 'blocks, with their zones')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    t.equal(work.end()[1], 0, 'bad pages')
