#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The balloon against the stock driver and virtio-mem: the same guest in the same state
# gives the same memory, by each. It owns the states, the targets and the table; guests
# are tests/vm's, the readings its measure's, and what was measured is kept by results.

import argparse
import os
import re
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'vm'))

import balloon                                                      # noqa: E402
import debian                                                       # noqa: E402
import engine                                                       # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402
import results                                                      # noqa: E402
from scenario import MIB, Workload                                  # noqa: E402

DESCRIPTION = """\
Lets the hypervisor ask a guest for memory and compares what the ways to give it cost:
instructions that the guest executed until it had given it (QEMU -icount: they repeat),
QEMU's memory meanwhile, and its huge pages before and after. The guest has three times
what it is asked for, all of which the hypervisor has given it, in huge pages. In use,
kept by a process, is the lowest part of each memory block. With --latency it compares
what a process feels meanwhile that writes to a page of its own 5000 times a second. What
a cell measured is kept. Exit status 1 if a target is missed.
"""

# The Workload's options. 'scattered': page by page, so that no free piece of 2 MiB is left.
STATES = {'idle': {'share': 0, 'size': 1},
          **{'%d %%' % n: {'share': n, 'compact': True} for n in (10, 25, 50)},
          'scattered': {'share': 25}}
# kind of memory: the ways to give it. What is movable is a device of two thirds of the guest.
KINDS = {'boot': ('stock', 'driver', 'service'), 'movable': ('stock', 'virtio-mem', 'driver', 'service')}
OURS = ('driver', 'service')
LEAST = {'boot': 2.0, 'movable': 5.0}           # times fewer instructions than the stock driver
# Strings are zeroed and copied by words: by bytes each byte would count as an instruction.
CPU = 'max,-erms,-fsrm'


class Cell:
    """One way to give memory, in one state of one kind of memory."""

    NAME = 'balloon'

    def __init__(self, kernel, kind, state, way, size):
        self.kernel, self.kind, self.state, self.way, self.size = kernel, kind, state, way, size
        self.full = 3 * size
        self.peer = way == 'virtio-mem'
        self.key = [self.NAME, kind, state, STATES[state], way, size, CPU]

    def guest(self):
        made = product.Product(product.meson() if self.way == 'service' else None)
        device = 2 * self.size if self.kind == 'movable' else 0
        return machine.Guest(
            kernel=self.kernel, memory='%dM' % ((self.full - device) // MIB), product=made, icount=True, cpu=CPU,
            limit=engine.LIMIT, dimms=[device] if device and not self.peer else (),
            devices=['-mem-prealloc', *(engine.virtio_mem(device, 'prealloc=on') if self.peer else
                                        balloon.device())])

    def prepare(self, g):
        """The driver that is to give, and memory in use."""
        self.balloon = balloon.Balloon(g, self.full)
        ranges = '0x100000-%#x' % (1 << 46)
        if self.peer:
            ranges = engine.plug_virtio_mem(g, 2 * self.size)
        elif self.kind == 'movable':
            ranges = g.dimm_range('d1')
        if self.way == 'stock':
            g.check('modprobe ' + balloon.STOCK)
        elif not self.peer:
            self.balloon.load()
        if self.way == 'service':
            g.start_daemon(timeout=300)
        if 'size' in STATES[self.state]:
            ranges = ''                         # so many bytes, anywhere
        self.work = Workload(g, ranges, pause=engine.FOREVER, timeout=engine.LIMIT, **STATES[self.state])
        self.work.verify(engine.LIMIT)          # behind this, its first pass is over

    def give(self, g):
        """Asks and waits: (instructions, pages moved, [(seconds of the guest, bytes that QEMU has)])."""
        line = []
        total = g.meminfo('MemTotal') - self.size
        process = g.spawn(['measure', '--total=%d' % (total >> 10)])

        def on_line(text, _when):
            m = re.match(r'left \d+ after (\d+)', text)
            if m:
                line.append((int(m[1]) / 1e9, g.host_memory()[0]))
        process.on_line = on_line
        m = self.ask(g, process, r'^instructions (\d+) idle (\d+) migrated (\d+)')
        return int(m[1]), int(m[3]), line

    def ask(self, g, process, end):
        """Asks for the memory once the process is ready, waits for it: the match of the process's last line."""
        process.wait_line('^ready', engine.LIMIT)
        if self.peer:
            engine.ask_virtio_mem(g, self.size)
        else:
            self.balloon.ask(self.full - self.size)
        m = process.wait_line(end, engine.LIMIT)
        if not self.peer:
            self.balloon.wait(self.full - self.size, engine.LIMIT)
        return m

    def measure(self, g):
        """Figures of a guest that is prepared."""
        before = g.host_memory()[0], huge_pages(g)
        instructions, migrated, line = self.give(g)
        return {'instructions': instructions, 'migrated': migrated, 'line': line,
                'before': before, 'after': (g.host_memory()[0], huge_pages(g))}

    def run(self):
        begin = time.monotonic()
        with self.guest() as g:
            self.prepare(g)
            figures = self.measure(g)
            checked, bad = self.work.verify(engine.LIMIT)
            if bad or g.splats() or g.vmstat()['oom_kill']:
                raise machine.GuestError('%d pages checked, %d bad\n%s' % (checked, bad, g.splats()))
        return {'used': self.work.pages, **figures, 'seconds': time.monotonic() - begin}


class LatencyCell(Cell):
    """The same, with a process in the guest that takes the time of its writes."""

    NAME = 'latency'

    def measure(self, g):
        number = '0x0018' if self.peer else '0x0005'
        interrupt = g.check("for d in /sys/bus/virtio/devices/*; do grep -q %s $d/device && name=${d##*/}; done; "
                            "awk -v n=$name '$NF == n || $NF == n \"-config\" { print $1 + 0; exit }' "
                            '/proc/interrupts' % number).strip()
        process = g.spawn(['latency', '--begin=/sys/kernel/irq/%s/per_cpu_count' % interrupt,
                           '--total=%d' % (g.meminfo('MemTotal') - self.size >> 10)])
        lines = {'idle': self.ask(g, process, '^idle (.*)')[1], 'meanwhile': process.wait_line('^meanwhile (.*)')[1]}
        return {name: dict(zip(words[::2], map(int, words[1::2])))
                for name, words in ((name, line.split()) for name, line in lines.items())}


def huge_pages(g):
    """Bytes of QEMU's that are in huge pages."""
    with open('/proc/%d/smaps_rollup' % g.process.pid) as f:
        return int(re.search(r'^AnonHugePages:\s+(\d+) kB', f.read(), re.M)[1]) << 10


def row(cell, r, stock):
    """A line of the table."""
    ratio = '%.2f' % (stock['instructions'] / r['instructions']) if stock else '-'
    line = ', '.join('%d: %d' % (when * 1000, rss // MIB) for when, rss in r['line'])
    return '| %s | %s | %s | %d | %d | %.1f | %s | %d to %d | %d to %d | %s |' % (
        cell.kind, cell.state, cell.way, r['used'], r['migrated'], r['instructions'] / 1e6, ratio,
        r['before'][0] // MIB, r['after'][0] // MIB, r['before'][1] // MIB, r['after'][1] // MIB, line)


def latency_row(cell, r, _stock):
    """A line of the other table."""
    idle, meanwhile = r['idle'], r['meanwhile']
    return '| %s | %s | %s | %d | %s | %d |' % (
        cell.kind, cell.state, cell.way, meanwhile['samples'], ' | '.join('%.1f | %.1f' % (
            meanwhile[n] / 1e3, meanwhile[n] / idle[n]) for n in ('p50', 'p99', 'worst')), meanwhile['late'])


LATENCY_HEAD = ('| memory | in use | way | writes | p50 | to idle | p99 | to idle | worst | to idle | > 1000 |\n'
                '|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|')
HEAD = ('| memory | in use | way | pages of the process | moved | M instructions | stock is times as many | '
        "QEMU's MiB | of it in huge pages | at ms of the guest: QEMU's MiB |\n"
        '|---|---|---|---:|---:|---:|---:|---:|---:|---|')


def verdicts(kind, state, figures):
    """(text, met) of each target for which there are figures."""
    for way in (w for w in OURS if w in figures):
        for peer, least in (('stock', LEAST[kind]), ('virtio-mem', 1.0)):
            if peer in figures:
                ratio = figures[peer]['instructions'] / figures[way]['instructions']
                yield '%s, %s: %s / %s %.2f, target >= %.1f' % (kind, state, peer, way, ratio, least), ratio >= least


def latency_verdicts(kind, state, figures):
    """As verdicts: no process waits longer for ours than for what it replaces. The service is a process like others,
    with a slice of time as long as what the stock driver does without a pause: there they are about the same."""
    for way in (w for w in OURS if w in figures):
        for peer in (p for p in ('stock', 'virtio-mem') if p in figures):
            least = 0.75 if (peer, way) == ('stock', 'service') else 1.0
            ratio = figures[peer]['meanwhile']['worst'] / figures[way]['meanwhile']['worst']
            yield ('%s, %s: the worst write, %s / %s %.2f, target >= %.2f' % (kind, state, peer, way, ratio, least),
                   ratio >= least)


def measure(options, known):
    """All cells: {(kind, state): {way: figures}}; a line of the table as soon as it is known."""
    size, found = machine.parse_size(options.size), {}
    kind_of_cell, head, line = (LatencyCell, LATENCY_HEAD, latency_row) if options.latency else (Cell, HEAD, row)
    print(head, flush=True)
    for kind in engine.choose(options.kinds, KINDS, KINDS):
        for state in engine.choose(options.states, STATES, STATES):
            figures = found[kind, state] = {}
            for way in KINDS[kind]:
                if options.ways and way not in options.ways.split(','):
                    continue
                cell = kind_of_cell(options.kernel, kind, state, way, size)
                try:
                    r = None if options.again else known.get(cell.key)
                    if not r:
                        r = cell.run()
                        known.put(cell.key, r)
                except machine.GuestError as error:
                    print('| %s | %s | %s | none: %s' % (kind, state, way, error), flush=True)
                    continue
                figures[way] = r
                print(line(cell, r, figures.get('stock')), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kernel', default='6.1')
    parser.add_argument('--size', default='2G', help='what is asked for: a third of the guest (%(default)s)')
    parser.add_argument('--kinds', help='of memory: ' + ', '.join(KINDS))
    parser.add_argument('--states', help='only these: ' + ', '.join(STATES).replace('%', '%%'))
    parser.add_argument('--ways', help='only these of stock, virtio-mem, driver (alone), service')
    parser.add_argument('--again', action='store_true', help='measure also what was measured before')
    parser.add_argument('--latency', action='store_true', help='of a process in the guest, not instructions')
    options = parser.parse_args()
    machine.end_on_sigterm()
    kernel = debian.Kernel(options.kernel)
    print('%s of three times as much, Linux %s' % (options.size, kernel.release))
    missed, judge = 0, latency_verdicts if options.latency else verdicts
    for (kind, state), figures in measure(options, results.Results(kernel)).items():
        for text, met in judge(kind, state, figures):
            missed += not met
            print(('PASS  ' if met else 'FAIL  ') + text)
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
