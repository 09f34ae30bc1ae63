#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The trade-off between how long a removal takes and what a process feels meanwhile: the same
# removal with the service's control group at several CPU quotas, as CPUQuota= of its unit
# sets them. It owns the quotas and the curve; what is felt is measured by tests/vm/latency.c.

import argparse
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
Removes a DIMM that is in use with the service at several CPU quotas, each in a fresh guest
with one CPU whose clock goes by instructions, while a process writes to a page of its own
5000 times a second and takes the time from when each write was due. What a cell measured
is kept. Exit status 1 if no quota keeps the process's p99 within 1.10 of what it was before.
"""
GROUP = '/sys/fs/cgroup/memunplugd/'
PERIOD = 10                                     # milliseconds: how long who waits for a page may wait for the quota, too
QUOTAS = (None, 50, 25, 10)                     # percent of one CPU; the kernel deals out no less than 1 ms
WITHIN = 1.10
HEAD = ('| CPUQuota= | seconds | writes | p50 | to idle | p99 | to idle | worst | to idle | > 1000 |\n'
        '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|')


class Cell:
    """A removal at one quota."""

    def __init__(self, kernel, quota, size):
        self.kernel, self.quota, self.size = kernel, quota, size
        self.key = ['pace', quota, PERIOD, size, machine.CPU]

    def limit(self, g, pid):
        """The service, and workers that it starts from now on, in a group of their own."""
        limit = '%d %d' % (self.quota * PERIOD * 10, PERIOD * 1000) if self.quota else 'max'
        g.check('echo +cpu >/sys/fs/cgroup/cgroup.subtree_control && mkdir %s && echo %d >%scgroup.procs && '
                'echo %s >%scpu.max' % (GROUP, pid, GROUP, limit, GROUP))

    def run(self):
        made = product.Product(product.meson())
        begin = time.monotonic()
        with machine.Guest(kernel=self.kernel, memory='%dM' % (self.size * 3 >> 20), product=made, icount=True,
                           limit=engine.LIMIT, dimms=[self.size]) as g:
            self.limit(g, g.start_daemon(timeout=300).pid)
            work = Workload(g, g.dimm_range('d1'), share=25, touch=True, pause=engine.FOREVER, timeout=engine.LIMIT)
            work.verify(engine.LIMIT)
            g.put('/run/begin', 'before\n', 0o644)
            process = g.spawn(['latency', '--begin=/run/begin', '--total=%d' % (g.meminfo('MemTotal') - self.size >> 10)])
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


def row(quota, r):
    idle, meanwhile = r['idle'], r['meanwhile']
    return '| %s | %.2f | %d | %s | %d |' % (
        '%d %%' % quota if quota else 'none', r['job'], meanwhile['samples'],
        ' | '.join('%.1f | %.2f' % (meanwhile[n] / 1e3, meanwhile[n] / idle[n]) for n in ('p50', 'p99', 'worst')),
        meanwhile['late'])


def main():
    p = argparse.ArgumentParser(prog='tests/bench/pace.py', description=DESCRIPTION,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kernel', choices=debian.SERIES, default='6.1')
    p.add_argument('--size', default='512M', help='of the DIMM, a quarter of which is in use (%(default)s)')
    p.add_argument('--again', action='store_true', help='measure also what was measured before')
    a = p.parse_args()
    machine.end_on_sigterm()
    kernel, size = debian.Kernel(a.kernel), machine.parse_size(a.size)
    known, kept = results.Results(kernel), []
    print('# a DIMM of %s, kernel %s, tree %s; times of writes in us' % (a.size, kernel.release, known.tree))
    print(HEAD, flush=True)
    for quota in QUOTAS:
        cell = Cell(a.kernel, quota, size)
        r = None if a.again else known.get(cell.key)
        try:
            r = r or cell.run()
        except machine.GuestError as error:
            print('| %s | none: %s' % (quota, error), flush=True)
            continue
        known.put(cell.key, r)
        print(row(quota, r), flush=True)
        if quota and r['meanwhile']['p99'] <= WITHIN * r['idle']['p99']:
            kept.append(quota)
    print('%s  p99 within %.2f of idle: %s' % ('PASS' if kept else 'FAIL', WITHIN,
                                              'at %d %% and less' % max(kept) if kept else 'at none of them'))
    return 0 if kept else 1


if __name__ == '__main__':
    sys.exit(main())
