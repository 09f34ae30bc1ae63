# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whoever keeps pages from moving: pages in a pipe, in direct I/O that never ends, locked for a
# server that never answers, registered for I/O. It owns the guest for them and what one try
# of removing their memory has to look like; how often is up to the caller.

import time

from cases import Failure
from scenario import (FINAL, CallError, Holder, Staller, Watch, blocks, blocks_of, isolated_blocks, job, varlink,
                      varlink_stream, workers_in_kernel)

DIMMS = ['256M', '256M']


def prepare(guest, deadline):
    """The service with that many seconds for each job."""
    guest.check('modprobe fuse')
    guest.put('/etc/memunplug/memunplugd.conf', '[Unplug]\nDeadlineSec=%ds\nDeadlinePerGiBSec=0\n' % deadline, 0o644)
    guest.daemon = guest.start_daemon()


# name: who holds pages of a range.
KINDS = {
    'vmsplice': Holder,
    'vmsplice, unmapped': lambda g, ranges: Holder(g, ranges, unmap=True),
    'direct I/O': lambda g, ranges: Staller(g, ranges, 'direct'),
    'locked page cache': lambda g, ranges: Staller(g, ranges, 'cache'),
    'registered buffers': lambda g, ranges: Staller(g, ranges, 'buffers'),
    'vmsplice in mid-job': lambda g, ranges: Holder(g, ranges, later=True),
}
MID_JOB = 'vmsplice in mid-job'
LET_GO = {'registered buffers'}                 # these leave movable memory when they are pinned: nothing is in the way
TRIES = 5                                       # to get pages of a DIMM: which a process has is up to the kernel


def _holder(g, kind, dimm):
    """One that holds pages of the DIMM; in mid-job, it will."""
    for _ in range(TRIES):
        holder = KINDS[kind](g, g.dimm_range(dimm))
        if kind == MID_JOB or holder.pages > 0:
            return holder
        holder.end()
    raise Failure('%s: no page of %s in %d tries' % (kind, dimm, TRIES))


def _hold_in_mid_job(g, dimm, holder):
    """A job for the DIMM, whose pages are held as soon as it moves them: the job as it ended."""
    watch = Watch(g)
    process, _ = varlink_stream(g, 'Unplug', {'blocks': blocks_of(g, dimm)})
    moving = watch.wait(lambda: [j['id'] for j in watch.jobs() if j['state'] in ('evacuating', *FINAL)], 'moving pages')
    holder.hold_now()
    watch.wait_final(moving[0])
    watch.end()
    process.wait(30)
    return job(g, moving[0])


class Outcome:
    """One try: answered with a job, or refused before it began. A holder that is given holds in the midst of it."""

    def __init__(self, g, dimm, deadline, holder=None):
        begin, self.job, self.refused, self.late = time.monotonic(), None, None, 0
        try:
            self.job = _hold_in_mid_job(g, dimm, holder) if holder else varlink(
                g, 'Unplug', {'blocks': blocks_of(g, dimm)}, more=True, timeout=deadline + 60)[-1]['job']
            self.late = (self.job['finishedAt'] - self.job['deadlineAt']) / 1e6
        except CallError as error:
            self.refused = str(error)
        self.seconds = time.monotonic() - begin
        self.blockers = self.job.get('blockers', []) if self.job else []
        if self.refused:                        # before anything was tried: then who asks is told
            self.blockers = [b for i in blocks_of(g, dimm) for b in varlink(g, 'Explain', {'block': i})['blockers']]
        self.pids = {p for b in self.blockers for p in b.get('pids', [])}

    def gone(self):
        return bool(self.job) and self.job['state'] == 'done'

    def failed(self):
        return bool(self.refused) or self.job['state'] == 'failed'

    def __str__(self):
        if self.refused:
            return 'refused after %.1f s: %s' % (self.seconds, self.refused[:160])
        return '%s (%s) after %.1f s, %d attempts: %s' % (
            self.job['state'], self.job.get('cause'), self.seconds, self.job['attempts'], self.job.get('reason'))


class Try:
    """A holder of d1's pages, the answer to a job for them, and that all is as before when it has let go."""

    def __init__(self, g, kind, deadline):
        self.guest, self.kind, self.deadline = g, kind, deadline
        self.before = blocks(g)
        self.holder = _holder(g, kind, 'd1')
        self.outcome = Outcome(g, 'd1', deadline, self.holder if kind == MID_JOB else None)
        self.named = self.holder.pid in self.outcome.pids

    def __str__(self):
        return '%s, %d pages: %s' % (self.kind, self.holder.pages, self.outcome)

    def _expect(self, ok, what):
        if not ok:
            raise Failure('%s; %s; log: %s' % (what, self, self.guest.daemon.err[-2000:]))

    def judge(self):
        """The answer, while the pages are still held."""
        g, outcome = self.guest, self.outcome
        self._expect(outcome.late <= 1, '%.1f s from the deadline to the answer' % outcome.late)
        self._expect(outcome.seconds <= self.deadline + 15, 'the answer took long, seen from outside')
        if self.kind in LET_GO:
            self._expect(outcome.gone(), 'nothing is in the way, and it did not go')
        elif self.kind != MID_JOB:              # all pages may have left when they are held
            self._expect(outcome.failed(), 'memory that is held cannot go')
        if outcome.gone():
            varlink(g, 'Replug', {'blocks': blocks_of(g, 'd1')}, more=True)
        self._expect(not workers_in_kernel(g), 'workers are stuck in the kernel')

    def end(self):
        """They are let go: nothing is left of it."""
        self.holder.end()
        self._expect(blocks(self.guest) == self.before, 'blocks, with their zones, are not as before')
        self._expect(isolated_blocks(self.guest) == 0, 'pageblocks are isolated')
