#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The trade-off between how long a removal takes and what a process feels meanwhile: the same
# removal with the service's control group at several CPU shares, as CPUQuota= and CPUWeight=
# of its unit set them. It owns the shares and the curve; what is felt is measured by
# tests/vm/latency.c.

import argparse
import collections
import os
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'vm'))

import debian                                                       # noqa: E402
import engine                                                       # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402
import results                                                      # noqa: E402
from scenario import Workload, ctl, ctl_jobs                        # noqa: E402

DESCRIPTION = """\
Removes a DIMM that is in use with the service at several CPU shares, each in a fresh guest
with one CPU whose clock goes by instructions, while a process writes to pages of its own:
5000 times a second, and takes the time from when each write was due; or without a pause, and
takes the time of each 256. What a cell measured is kept. Exit status 1 if for one of the two
no share keeps p99 within 1.10 of what it was before, or none leaves it 95 % of its writes.
"""
GROUP = '/sys/fs/cgroup/memunplugd/'

# CPUQuota= in percent of one CPU, or None, and CPUQuotaPeriodSec= in milliseconds: how long who waits
# for a page may wait for the quota, too; the kernel deals out no less than 1 ms. CPUWeight=idle: whoever
# else wants the CPU has it at once, and a process that always does has nearly all of it.
Share = collections.namedtuple('Share', 'quota period idle')
SHARES = {
    'on time': [*(Share(quota, 10, False) for quota in (None, 50, 25, 10)),
                Share(None, 10, True), Share(10, 10, True), Share(2, 50, True)],
    'busy': [*(Share(quota, 10, False) for quota in (None, 50, 25, 10)), Share(5, 20, False), Share(2, 50, False)],
}
WRITERS = {'on time': (), 'busy': ('--burst=256', '--idle=20000')}
TARGETS = {
    'p99 within 1.10 of idle': lambda r: r['meanwhile']['p99'] <= 1.10 * r['idle']['p99'],
    '95 % of the writes': lambda r: rate(r['meanwhile']) >= 0.95 * rate(r['idle']),
}
HEAD = ('| writer | CPUWeight= | CPUQuota= | of | job, s | samples | rate to idle | p50 | to idle | p99 | to idle | worst | '
        '> 1000 |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|')


class Cell:
    """A removal with one share, beside one writer."""

    def __init__(self, kernel, writer, share, size):
        self.kernel, self.writer, self.share, self.size = kernel, writer, share, size
        self.key = ['pace', writer, *WRITERS[writer], *share, size, machine.CPU]

    def limit(self, g, pid):
        """The service, and workers that it starts from now on, in a group of their own."""
        s = self.share
        limit = '%d %d' % (s.quota * s.period * 10, s.period * 1000) if s.quota else 'max'
        g.check('echo +cpu >/sys/fs/cgroup/cgroup.subtree_control && mkdir %s && echo %d >%scgroup.procs && '
                'echo %s >%scpu.max && echo %d >%scpu.idle' % (GROUP, pid, GROUP, limit, GROUP, s.idle, GROUP))

    def run(self):
        made = product.Product(product.meson())
        begin = time.monotonic()
        with machine.Guest(kernel=self.kernel, memory='%dM' % (self.size * 3 >> 20), product=made, icount=True,
                           limit=engine.LIMIT, dimms=[self.size]) as g:
            self.limit(g, g.start_daemon(timeout=300).pid)
            work = Workload(g, g.dimm_range('d1'), share=25, touch=True, pause=engine.FOREVER, timeout=engine.LIMIT)
            work.verify(engine.LIMIT)
            g.put('/run/begin', 'before\n', 0o644)
            process = g.spawn(['latency', '--begin=/run/begin', '--total=%d' % (g.meminfo('MemTotal') - self.size >> 10),
                               *WRITERS[self.writer]])
            process.wait_line('^ready', engine.LIMIT)
            g.check('printf now | dd of=/run/begin conv=notrunc 2>/dev/null')   # at no time is it empty
            r = ctl(g, 'unplug', 'PNP0C80:00', timeout=engine.LIMIT)
            if r.rc:
                raise machine.GuestError(r.out + r.err)
            lines = {n: process.wait_line('^%s (.*)' % n, engine.LIMIT)[1].split() for n in ('idle', 'meanwhile')}
            job = ctl_jobs(g)[-1]
            checked, bad = work.verify(engine.LIMIT)
            if bad or g.splats():
                raise machine.GuestError('%d pages checked, %d bad\n%s' % (checked, bad, g.splats()))
        return {'job': (job['finishedAt'] - job['startedAt']) / 1e6, 'used': work.pages,
                'seconds': time.monotonic() - begin,
                **{name: dict(zip(words[::2], map(int, words[1::2]))) for name, words in lines.items()}}


def rate(r):
    """How many of its writes the process did meanwhile: of one without a pause. Others do all, sooner or later."""
    return r['samples'] / max(1, r['elapsed'])


def row(writer, share, r):
    idle, meanwhile = r['idle'], r['meanwhile']
    return '| %s | %s | %s | %s | %.2f | %d | %.2f | %s | %.1f | %d |' % (
        writer, 'idle' if share.idle else '100', '%d %%' % share.quota if share.quota else 'none',
        '%d ms' % share.period if share.quota else '', r['job'], meanwhile['samples'], rate(meanwhile) / rate(idle),
        ' | '.join('%.1f | %.2f' % (meanwhile[n] / 1e3, meanwhile[n] / idle[n]) for n in ('p50', 'p99')),
        meanwhile['worst'] / 1e3, meanwhile['late'])


def verdicts(figures):
    """A line for each writer and target; figures: of all cells, {(writer, share): figures}."""
    for writer in WRITERS:
        for target, reached in TARGETS.items():
            kept = [(r['job'], share) for (w, share), r in figures.items() if w == writer and reached(r)]
            best = min(kept, key=lambda k: k[0]) if kept else None
            yield '%s  %s: %s: %s' % ('PASS' if kept else 'FAIL', writer, target, 'with %d of %d shares, the fastest job '
                                      'takes %.2f s: %s' % (len(kept), len(SHARES[writer]), *best) if best else 'never')


def measure(cell, known, again):
    """Its figures, or None, which has been said."""
    r = None if again else known.get(cell.key)
    try:
        r = r or cell.run()
    except machine.GuestError as error:
        print('| %s | %s | none: %s' % (cell.writer, cell.share, error), flush=True)
        return None
    known.put(cell.key, r)
    print(row(cell.writer, cell.share, r), flush=True)
    return r


def main():
    p = argparse.ArgumentParser(prog='tests/bench/pace.py', description=DESCRIPTION,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kernel', choices=debian.SERIES, default='6.1')
    p.add_argument('--size', default='512M', help='of the DIMM, a quarter of which is in use (%(default)s)')
    p.add_argument('--again', action='store_true', help='measure also what was measured before')
    a = p.parse_args()
    machine.end_on_sigterm()
    kernel, size = debian.Kernel(a.kernel), machine.parse_size(a.size)
    known, figures = results.Results(kernel), {}
    print('# a DIMM of %s, kernel %s, tree %s; times in us' % (a.size, kernel.release, known.tree))
    print(HEAD, flush=True)
    for writer, shares in SHARES.items():
        for share in shares:
            r = measure(Cell(a.kernel, writer, share, size), known, a.again)
            if r:
                figures[writer, share] = r
    lines = list(verdicts(figures))
    print('\n'.join(lines))
    return 1 if any(line.startswith('FAIL') for line in lines) else 0


if __name__ == '__main__':
    sys.exit(main())
