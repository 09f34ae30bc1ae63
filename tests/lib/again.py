# SPDX-License-Identifier: GPL-2.0-or-later
#
# Second tries. Emulated guests and real daemons have bounds in seconds, and the machine
# that runs them may be taken away for some: then a test fails though nothing is wrong.
# A test that failed by time may run once more when all others are over; what passes
# then counts, and the closing lines name it. This file decides which failures may, and
# takes back what the second try cleared; how a test is run is run.py's.

LIMIT = 3                                       # more groups with failures than these are no accident

# What these say is wrong at whatever speed. The names of kernel splats are in machine.SPLAT.
NEVER = ('AddressSanitizer', 'LeakSanitizer', 'UndefinedBehaviorSanitizer', 'runtime error:', 'the kernel said:',
         'bad pages', 'wrong pages', 'Assertion ', 'did not work')
SUITES = ('unit/', 'bench/', 'vm/')


def allowed(failures):
    """The names, of {name: detail}, that may be tried again: all of them or none."""
    if not 0 < len({group(name) for name in failures}) <= LIMIT:
        return []
    for name, detail in failures.items():
        if not name.startswith(SUITES) or any(word in detail for word in NEVER):
            return []
    return sorted(failures)


class Outcomes:
    """Takes the place of the report in a second try; it has the same arguments."""

    def __init__(self):
        self.details = {}                       # of what failed

    def __call__(self, name, what, outcome, detail='', seconds=0.0, notes=()):
        print('# again: %s: %s (%.1f s)' % (name, outcome, seconds), flush=True)
        if outcome != 'ok':
            self.details[name] = detail


def group(name):
    """What has to run together: guests' cases of a file may build on each other, others stand alone."""
    return name.rsplit('/', 1)[0] + '/*' if name.startswith('vm/') else name


def run(report, failures, run_names):
    """
    failures: {name: detail}. run_names(outcomes, patterns) runs tests again. Takes back in the report what
    passed, unless something of its group failed this time.
    """
    names = allowed(failures)
    for pattern in sorted({group(name) for name in names}):
        outcomes = Outcomes()
        run_names(outcomes, pattern)
        if not outcomes.details:
            report.take_back([name for name in names if group(name) == pattern])
