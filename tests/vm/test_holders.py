# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whatever holds the pages, the answer comes in time: a reader whose file system never
# answers, with its buffer held or the file's pages locked; pages in a pipe that nobody
# maps any more; buffers registered for I/O. Each is tried by a job on the blocks of a
# DIMM, in one guest; MEMUNPLUG_HOLDER_RUNS says how often (default 1).

import os
import time

from cases import kernels
from scenario import CallError, Holder, Staller, blocks, isolated_blocks, varlink, workers_in_kernel

DEADLINE = 10                                   # seconds
RUNS = int(os.environ.get('MEMUNPLUG_HOLDER_RUNS', '1'))


def _guest(t):
    t.need_product()

    def prepare(g):
        g.check('modprobe fuse')
        g.put('/etc/memunplug/memunplugd.conf', '[Unplug]\nDeadlineSec=%ds\nDeadlinePerGiBSec=0\n' % DEADLINE, 0o644)
        g.daemon = g.start_daemon()
    return t.shared('holders', prepare, memory='1536M', dimms=['256M', '256M'], trixie=True, limit=280 + 60 * RUNS * 4)


def _blocks_of(g, dimm):
    start, size = g.dimms()[dimm]
    return list(range(start >> 27, (start + size) >> 27))


class Outcome:
    """One try: answered with a job, or refused before it began."""

    def __init__(self, g, dimm):
        begin, self.job, self.refused, self.late = time.monotonic(), None, None, 0
        try:
            self.job = varlink(g, 'Unplug', {'blocks': _blocks_of(g, dimm)}, more=True, timeout=DEADLINE + 60)[-1]['job']
            self.late = (self.job['finishedAt'] - self.job['deadlineAt']) / 1e6
        except CallError as error:
            self.refused = str(error)
        self.seconds = time.monotonic() - begin
        self.blockers = self.job.get('blockers', []) if self.job else []
        if self.refused:                        # before anything was tried: then who asks is told
            self.blockers = [b for i in _blocks_of(g, dimm) for b in varlink(g, 'Explain', {'block': i})['blockers']]
        self.pids = {p for b in self.blockers for p in b.get('pids', [])}

    def __str__(self):
        if self.refused:
            return 'refused after %.1f s: %s' % (self.seconds, self.refused[:160])
        return '%s (%s) after %.1f s, %d attempts: %s' % (
            self.job['state'], self.job.get('cause'), self.seconds, self.job['attempts'], self.job.get('reason'))


def _try(t, make, what, elsewhere=True):
    """Tries each run against a new holder; every one must be answered in time and leave all as it was. With
    elsewhere the other DIMM holds none of these pages, and must go meanwhile."""
    g, named, latest = _guest(t), 0, None
    for run in range(RUNS):
        before = blocks(g)
        holder = make(g)
        t.at_least(holder.pages, 8, 'pages held')
        outcome = Outcome(g, 'd1')
        t.note('%s, run %d, %d pages: %s', what, run + 1, holder.pages, outcome)
        latest = outcome.late if latest is None else max(latest, outcome.late)
        t.at_most(outcome.late, 1, 'seconds from the deadline to the answer')
        t.at_most(outcome.seconds, DEADLINE + 15, 'seconds to the answer, seen from outside')
        t.true(outcome.refused or outcome.job['state'] == 'failed', 'the job ended in %s' % outcome)
        named += holder.pid in outcome.pids
        if elsewhere:                           # while these pages are still held
            other = Outcome(g, 'd2')
            t.true(other.job and other.job['state'] == 'done',
                   'the other DIMM: %s; log: %s' % (other, g.daemon.err[-2000:]))
            varlink(g, 'Replug', {'blocks': _blocks_of(g, 'd2')}, more=True)
        t.equal(workers_in_kernel(g), [], 'workers stuck in the kernel')
        holder.end()
        t.equal(blocks(g), before, 'blocks, with their zones')
        t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    t.note('%s: %d of %d answered in time, the holder named in %d', what, RUNS, RUNS, named)
    return named


@kernels('6.1')
def test_cache(t):
    """pages locked for a server that never answers: no worker waits for them, the answer is in time"""
    _try(t, lambda g: Staller(g, g.dimm_range('d1'), 'cache'), 'locked page cache', elsewhere=False)


@kernels('6.1')
def test_direct(t):
    """a buffer of direct I/O that never ends: the answer is in time"""
    named = _try(t, lambda g: Staller(g, g.dimm_range('d1'), 'direct'), 'direct I/O')
    t.at_least(named / RUNS, 0.95, 'part of the runs in which the holder is named')


@kernels('6.1')
def test_unmapped(t):
    """pages in a pipe that no process maps any more: the answer is in time"""
    _try(t, lambda g: Holder(g, g.dimm_range('d1'), unmap=True), 'vmsplice, unmapped')


@kernels('6.1')
def test_buffers(t):
    """buffers registered with io_uring leave movable memory when they are pinned, and stop nothing"""
    g = _guest(t)
    for _ in range(RUNS):
        holder = Staller(g, g.dimm_range('d1'), 'buffers')
        outcome = Outcome(g, 'd1')
        t.true(outcome.job and outcome.job['state'] == 'done', str(outcome))
        varlink(g, 'Replug', {'blocks': _blocks_of(g, 'd1')}, more=True)
        holder.end()
    t.note('the last: %s', outcome)
