#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How long systemd's service is away when it is killed. The guest's clock goes by
# instructions, so the seconds are those of a machine that does 10^9 of them in one: they
# repeat, on however busy a host. No job is under way, since such a clock runs ahead while
# the guest waits for the host; what becomes of jobs is in vm/*/system/strikes.

import argparse
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'vm'))

import debian                                                       # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402
import system                                                       # noqa: E402

DESCRIPTION = """\
Kills the installed service and says after how many seconds of the guest's
clock (10^9 instructions) it is ready again, and how many of them went by in its own new
process, from the sandbox's set-up on. Exit status 1 if it took too long once.
"""
SIGNALS = ('KILL', 'SEGV', 'KILL', 'ABRT')
LIMIT = 3600                                    # seconds for all of it, on a busy machine
RESTART_MAX = 2.0


def main():
    p = argparse.ArgumentParser(prog='tests/bench/restart.py', description=DESCRIPTION,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kernel', choices=debian.SERIES, default='6.1')
    a = p.parse_args()
    missed = 0
    try:
        if system.available():
            raise machine.GuestError(system.available())
        with system.SystemGuest(kernel=a.kernel, memory='1536M', dimms=['512M'], limit=LIMIT, icount=True) as g:
            print(g.check('. /etc/os-release; echo "# $PRETTY_NAME, $(uname -r), $(systemctl --version | head -n1)"'),
                  end='', flush=True)
            for signo in SIGNALS:
                outage, own = g.strike(signo)
                g.check('systemctl reset-failed ' + system.SERVICE)     # systemd counts them
                missed += outage > RESTART_MAX
                print('%s  %-4s ready again after %.2f s, target <= %.0f s; %.2f s since its new process began' % (
                    'PASS' if outage <= RESTART_MAX else 'FAIL', signo, outage, RESTART_MAX, own), flush=True)
    except (machine.GuestError, debian.PackageError, product.BuildError) as error:
        print('restart.py: %s' % error, file=sys.stderr)
        return 1
    return 1 if missed else 0


if __name__ == '__main__':
    sys.exit(main())
