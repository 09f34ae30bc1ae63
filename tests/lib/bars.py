# SPDX-License-Identifier: GPL-2.0-or-later
#
# The release bars: what has to be done how often before a release, and what of that was
# done with this tree. It owns the counts, kept in the cache so that a run goes on where
# the last one ended, and docs/RELEASE-BARS.md; doing and judging is tests/vm/endurance.py's.

import argparse
import itertools
import json
import os
import random
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'vm')]

import cases                                                        # noqa: E402
import debian                                                       # noqa: E402
import debugkernel                                                  # noqa: E402
import endurance                                                    # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402

PAGE = os.path.join(TOP, 'docs', 'RELEASE-BARS.md')
DESCRIPTION = """\
Does what a release has to have done, row by row, and writes docs/RELEASE-BARS.md. Counts
belong to the daemon and the module as they are in this tree and are kept: started again
it goes on, and two started at a time do twice as much where there are processors for it.
A row ends when its bar is reached, when its share of the time is over, or at the first
loss, which is reported and stays in the table.
"""

COLUMNS = 'Kernel', 'What', 'Bar', 'Done', 'Lost', 'Sources', 'Figures'

# How often, for a release; what is counted is in the row's class.
BARS = {'dimm-cycles': 1024, 'loaded-offlines': 5000, 'kills': 1000, 'fuzzed-calls': 1000000, 'hostile-holders': 200}
UNITS = {'dimm-cycles': 1, 'loaded-offlines': 2, 'kills': 1,       # counted in one step
         'fuzzed-calls': endurance.FuzzedCalls.CALLS, 'hostile-holders': 1}
CPUS = 2, 1                                                         # of the guests, one session after the other
SESSION = 50                                                        # steps in one guest, then a fresh one

HEAD = """\
# Release bars

What has to be done how often before a release, and what of it was done, with which sources
(a hash of daemon/ and kmod/): the present ones, or the last that reached the bar. Each unit is
judged when it is done: blocks and zones as before, nothing isolated, every page of the workload
right, each request answered once, in time; a loss ends the row. Guests run by emulation, so the
seconds say nothing about other machines.

    tests/release-bars --minutes=60                 # goes on where it ended; --full has no limit
    tests/release-bars --print                      # this table again

"""


class Counts:
    """What was done with this tree on a kernel: one file per row, in a folder of the sources that it goes by."""

    def __init__(self, series):
        self.series = series
        self.trees = {row: product.tree_hash(*(os.path.join(TOP, d) for d in bench.sources))[:12]
                      for row, bench in endurance.ROWS.items()}

    def path(self, row, name):
        return os.path.join(debian.cache_dir('release-bars', self.trees[row], self.series), name)

    def read(self, row):
        try:
            with open(self.path(row, row + '.json')) as f:
                return json.load(f)
        except FileNotFoundError:
            return {'done': 0, 'lost': [], 'figures': {}}

    def add(self, row, more):
        """What a session did; others may run meanwhile."""
        path = self.path(row, row + '.json')
        with debian.Lock('release-bars'):
            count = self.read(row)
            count['done'] += more['done']
            count['lost'] += more['lost']
            add_figures(count['figures'], more['figures'])
            with open(path + '.new', 'w') as f:
                json.dump(count, f)
            os.rename(path + '.new', path)


def add_figures(total, figures):
    """Counts add up, the slowest stays."""
    for key, value in figures.items():
        if isinstance(value, dict):
            add_figures(total.setdefault(key, {}), value)
        elif key.startswith('slowest'):
            total[key] = max(total.get(key, 0), value)
        else:
            total[key] = total.get(key, 0) + value


def keep_evidence(bench, path):
    """Beside the counts, as far as the guest can still tell."""
    if not hasattr(bench, 'lab'):
        return
    try:
        text = bench.lab.evidence()
    except machine.GuestError as error:
        text = 'the guest does not answer: %s\n\n%s' % (error, bench.lab.daemon.err)
    with open(path, 'w') as f:
        f.write(text)
    print('see ' + path)


def run_session(row, series, made, counts, end, cpus):
    """Some steps in one guest with so many processors, until the bar or the time is reached: whether all was well."""
    more, guests, bench = {'done': 0, 'lost': [], 'figures': {}}, [], None
    seed = random.SystemRandom().randrange(1, 1 << 30)

    def boot(**options):
        guests.append(machine.Guest(kernel=series, product=made, **options))
        return guests[-1]

    try:
        bench = endurance.ROWS[row](boot, seed=seed, cpus=cpus)
        while (more['done'] < SESSION * UNITS[row] and counts.read(row)['done'] + more['done'] < BARS[row] and
               time.monotonic() < end):
            bench.step()
            more['done'] += UNITS[row]
    except (cases.Failure, machine.GuestError) as error:
        more['lost'].append('seed %d: %s' % (seed, str(error)[:2000]))
        keep_evidence(bench, counts.path(row, '%s-lost-%d.log' % (row, seed)))
    finally:
        if bench and not (more['lost'] and guests[-1].link.closed):
            try:
                more['figures'] = bench.figures()
            except machine.GuestError:
                pass                            # the loss is in the table already
        for guest in guests:
            guest.close()
        counts.add(row, more)
    return not more['lost']


def run_row(row, series, made, counts, seconds):
    end = time.monotonic() + seconds
    for cpus in itertools.cycle(CPUS):
        if time.monotonic() >= end or counts.read(row)['done'] >= BARS[row]:
            break
        well = run_session(row, series, made, counts, end, cpus)
        count = counts.read(row)
        print('%s on %s: %d of %d; %s' % (row, series, count['done'], BARS[row],
                                          endurance.describe(count['figures'])), flush=True)
        if not well:
            print('lost: ' + count['lost'][-1])
            break


def row_of(series, counts, row):
    """A line of the table: (kernel, what, bar, done, lost, sources, figures)."""
    count = counts.read(row)
    reached = ' (reached)' if count['done'] >= BARS[row] and not count['lost'] else ''
    return (debugkernel.kernel(series).release, endurance.ROWS[row].what, str(BARS[row]),
            str(count['done']) + reached, str(len(count['lost'])), counts.trees[row], endurance.describe(count['figures']))


def page_lines():
    """The lines of the table on the page: {(kernel, what): line}."""
    try:
        with open(PAGE) as f:
            lines = [tuple(cell.strip() for cell in line.strip().strip('|').split('|')) for line in f
                     if line.startswith('|')]
    except FileNotFoundError:
        return {}
    return {line[:2]: line for line in lines[2:]}


def table(all_counts):
    """What was done with these sources; with others where only those have reached the bar, or on other kernels."""
    lines, before = [COLUMNS, ('---',) * len(COLUMNS)], page_lines()
    for series, counts in all_counts.items():
        for row in BARS:
            now = row_of(series, counts, row)
            if series != '6.1' and now[3] == '0' and now[:2] not in before:
                continue                        # on other kernels what was done
            old = before.pop(now[:2], now)
            better = '(reached)' in old[3] and '(reached)' not in now[3] and not counts.read(row)['lost']
            lines.append(old if better else now)
    lines += before.values()
    return '\n'.join('| %s |' % ' | '.join(line) for line in lines) + '\n'


def main():
    p = argparse.ArgumentParser(prog='tests/release-bars', description=DESCRIPTION,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--minutes', type=float, default=30, help='for all rows together (30)')
    p.add_argument('--full', action='store_true', help='as long as it takes')
    p.add_argument('--print', action='store_true', help='run nothing, print the table')
    p.add_argument('--kernel', action='append', choices=debugkernel.ALL, help='6.1 if none is named')
    p.add_argument('row', nargs='*', help='only these: ' + ', '.join(BARS))
    arguments = p.parse_args()
    if set(arguments.row) - set(BARS):
        p.error('no such row: ' + ' '.join(set(arguments.row) - set(BARS)))
    machine.end_on_sigterm()
    all_counts = {series: Counts(series) for series in arguments.kernel or ['6.1']}
    if not arguments.print:
        product.meson('gcc')
        made = product.Product(product.build_dir('gcc'))
        rows = [(s, r) for s in all_counts for r in arguments.row or BARS]
        seconds = float('inf') if arguments.full else arguments.minutes * 60 / len(rows)
        for series, row in rows:
            run_row(row, series, made, all_counts[series], seconds)
        text = HEAD + table(all_counts)         # reads the page as it was
        with open(PAGE, 'w') as f:
            f.write(text)
    print(table(all_counts), end='')
    return any(c.read(row)['lost'] for c in all_counts.values() for row in BARS)


if __name__ == '__main__':
    sys.exit(main())
