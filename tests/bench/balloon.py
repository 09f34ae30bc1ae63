#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The balloon against the stock driver: the same guest in the same state gives the same
# memory, by each. It owns the states, the targets and the table; guests are tests/vm's,
# the readings its measure's.

import argparse
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'vm'))

import balloon                                                      # noqa: E402
import debian                                                       # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402
from scenario import MIB                                            # noqa: E402

DESCRIPTION = """\
Lets the hypervisor ask a guest for memory by its balloon, with the stock driver and with
memunplug_balloon, and compares the instructions that the guest executed until it had
given it (QEMU -icount: they repeat). All memory is boot memory and has been written to.
Exit status 1 if the target is missed.
"""

# name: how much of all memory a process takes, and which share of that it keeps, scattered; in %.
STATES = {'idle': (0, 0), 'one process': (25, 100), 'scattered': (80, 30)}
DRIVERS = ('stock', 'ours')
LEAST = {'idle': 5.0, 'one process': 5.0}       # times fewer instructions; else it is shown only
LIMIT = 1500
FOREVER = 1000000000                            # a workload's pause: it keeps still once it has filled


def measure(kernel, state, driver, size):
    """Instructions until the guest has given that many bytes, and what QEMU has less of: bytes."""
    memory = size * 2
    with machine.Guest(kernel=kernel, memory='%dM' % (memory // MIB), product=product.Product(),
                       icount=True, limit=LIMIT, devices=balloon.device()) as g:
        b = balloon.Balloon(g, memory)
        if driver == 'stock':
            g.check('modprobe ' + balloon.STOCK)
        else:
            b.load()
        part, share = STATES[state]
        workload = g.spawn(['workload', '--touch', '--pause=%d' % FOREVER, '--share=%d' % share,
                            '--bytes=%d' % max(1, memory * part // 100)])
        workload.wait_line(r'^ready', LIMIT)
        total, before = g.meminfo('MemTotal'), g.host_memory()[0]
        process = g.spawn(['measure', '--total=%d' % ((total - size) >> 10)])
        process.wait_line('^ready', LIMIT)
        b.ask(memory - size)
        m = process.wait_line(r'^instructions (\d+)', LIMIT)
        b.wait(memory - size, LIMIT)
        return int(m[1]), before - g.host_memory()[0]


def main():
    parser = argparse.ArgumentParser(description=DESCRIPTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kernel', default='6.1')
    parser.add_argument('--size', default='2G', help='what is asked for: half of the guest (%(default)s)')
    parser.add_argument('--states', default=','.join(STATES), help='which of: %(default)s')
    options = parser.parse_args()
    machine.end_on_sigterm()
    size, missed = machine.parse_size(options.size), False
    print('%s given by boot memory, Linux %s: millions of instructions of the guest, MiB that QEMU has less'
          % (options.size, debian.Kernel(options.kernel).release))
    for state in options.states.split(','):
        figures = {driver: measure(options.kernel, state, driver, size) for driver in DRIVERS}
        ratio = figures['stock'][0] / figures['ours'][0]
        missed |= ratio < LEAST.get(state, 0)
        cells = '  '.join('%s: %.1f, %d MiB' % (d, n / 1e6, left // MIB) for d, (n, left) in figures.items())
        print('%-11s %s  times fewer: %.1f' % (state, cells, ratio), flush=True)
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
