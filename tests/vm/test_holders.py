# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whatever holds the pages, the answer comes in time: a reader whose file system never
# answers, with its buffer held or the file's pages locked; pages in a pipe that nobody
# maps any more; buffers registered for I/O. Each is tried by a job on the blocks of a
# DIMM, in one guest; tests/release-bars hostile-holders does it a hundred times.

import hostile
from cases import kernels
from scenario import blocks_of, varlink

DEADLINE = 10                                   # seconds


def _guest(t):
    t.need_product()
    return t.shared('holders', lambda g: hostile.prepare(g, DEADLINE), memory='1536M', dimms=hostile.DIMMS, trixie=True,
                    limit=520)


def _try(t, kind, elsewhere=True):
    """One try, judged. With elsewhere the other DIMM holds none of these pages, and must go meanwhile."""
    g = _guest(t)
    attempt = hostile.Try(g, kind, DEADLINE)
    t.note('%s', attempt)
    if elsewhere:                               # while these pages are still held
        other = hostile.Outcome(g, 'd2', DEADLINE)
        t.true(other.gone(), 'the other DIMM: %s; log: %s' % (other, g.daemon.err[-2000:]))
        varlink(g, 'Replug', {'blocks': blocks_of(g, 'd2')}, more=True)
    attempt.judge()
    attempt.end()
    return attempt


@kernels('6.1')
def test_cache(t):
    """pages locked for a server that never answers: no worker waits for them, the answer is in time"""
    _try(t, 'locked page cache', elsewhere=False)


@kernels('6.1')
def test_direct(t):
    """a buffer of direct I/O that never ends: the answer is in time, and names the process"""
    t.true(_try(t, 'direct I/O').named, 'the holder is not named')


@kernels('6.1')
def test_unmapped(t):
    """pages in a pipe that no process maps any more: the answer is in time"""
    _try(t, 'vmsplice, unmapped')


@kernels('6.1')
def test_buffers(t):
    """buffers registered with io_uring leave movable memory when they are pinned, and stop nothing"""
    _try(t, 'registered buffers', elsewhere=False)
