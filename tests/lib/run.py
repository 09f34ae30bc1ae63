# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs all tests, or some, and counts. It owns the order of the suites and the report;
# what is tested is in the Meson tests, checks.py and tests/vm.

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
TOP = os.path.dirname(TESTS)
sys.path[:0] = [HERE, os.path.join(TESTS, 'vm')]

import again                                                        # noqa: E402
import cases                                                        # noqa: E402
import checks                                                       # noqa: E402
import clients                                                      # noqa: E402
import debian                                                       # noqa: E402
import debugkernel                                                  # noqa: E402
import fuzz                                                         # noqa: E402
import kerneltree                                                   # noqa: E402
import machine                                                      # noqa: E402
import packaging                                                    # noqa: E402
import product                                                      # noqa: E402

DESCRIPTION = """\
Run the tests: build/* (gcc, clang, with sanitizers), unit/* (what `meson test` runs, in
the plain and the sanitized build), style/*, package/*, kmod/* (warnings, sparse, checkpatch,
in a kernel tree), fuzz/* (every target, and what they covered), bench/* (what calls, idling and removals cost) and
vm/KERNEL/* (real guests; on the kernel debug only if it is named: vm/debug, which builds
it). NAME is a suite, the beginning of a name up to a slash, or a pattern: unit, vm/6.1,
vm/6.1/eject/*, *plain*.
"""

SLOW_SECONDS = 1800                             # nothing that is one test may take longer
LAST_WORDS = 40                                 # lines of each failure in the closing report


class Report:
    """One line per test as it ends, and the count. What runs beside others reports from a thread of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = self.skipped = self.number = 0
        self.begin = time.monotonic()
        self.failures = {}                      # name: what it said
        self.taken_back = []

    def __call__(self, *arguments, **named):
        with self.lock:
            self._take(*arguments, **named)

    def _take(self, name, what, outcome, detail='', seconds=0.0, notes=()):
        self.number += 1
        text = '%d - %s%s' % (self.number, name, ': ' + what if what else '')
        if outcome == 'skip':
            self.skipped += 1
            print('ok %s # SKIP %s' % (text, detail))
        elif outcome == 'ok':
            self.passed += 1
            print('ok %s (%.1f s)' % (text, seconds))
        else:
            self.failed += 1
            self.failures[name] = detail
            print('not ok %s (%.1f s)' % (text, seconds))
        for line in notes:
            print('#   ' + line)
        if detail and outcome == 'fail':
            print('\n'.join('#   ' + line for line in detail.rstrip().splitlines()[-200:]))
        sys.stdout.flush()

    def take_back(self, names):
        """These passed at a second try."""
        for name in names:
            del self.failures[name]
            self.failed -= 1
            self.passed += 1
            self.taken_back.append(name)

    def end(self):
        print('# %.0f s' % (time.monotonic() - self.begin))
        for name in self.taken_back:
            print('# passed only at the second try: ' + name)
        for name, detail in self.failures.items():      # whoever sees the end only, sees why
            print('# failed: ' + name)
            print('\n'.join('#   ' + line for line in detail.rstrip().splitlines()[:LAST_WORDS]))
        last = '%d passed, %d failed' % (self.passed, self.failed)
        if self.skipped:
            last += ', %d skipped' % self.skipped
        print(last)
        return 1 if self.failed or not self.passed else 0


class Selection:
    """Which names were asked for."""

    def __init__(self, names, series):
        self.patterns = [p for n in names for p in ((n,) if set(n) & set('*?[') else (n, n + '/*'))]
        self.series = series

    def asks_for(self, series):
        """Whether this series was asked for by its name."""
        return self.series == [series] or any(p.startswith('vm/%s' % series) for p in self.patterns)

    def has(self, name):
        return not self.patterns or any(fnmatch.fnmatch(name, p) for p in self.patterns)

    def may_have(self, prefix):
        """Whether anything below this prefix can be among them, before its names are known."""
        return not self.patterns or any(
            p.startswith(prefix) or prefix.startswith(p.rstrip('*')) or p[0] in '*?['
            for p in self.patterns)


def timed(report, name, what, function, *arguments):
    """Runs a check: it returns notes, or raises."""
    begin = time.monotonic()
    try:
        notes = function(*arguments) or ()
        report(name, what, 'ok', '', time.monotonic() - begin, notes)
        return True
    except checks.Skip as reason:
        report(name, what, 'skip', str(reason))
    except (checks.Failure, product.BuildError, debian.PackageError) as error:
        report(name, what, 'fail', str(error), time.monotonic() - begin)
    except subprocess.TimeoutExpired as error:
        report(name, what, 'fail', 'no end within %d s: %s' % (error.timeout, error.cmd), time.monotonic() - begin)
    return False


class Beside:
    """A context beside which a function runs, and which ends when both have."""

    def __init__(self, function, *arguments):
        self.thread = threading.Thread(target=self._run, args=(function, *arguments), daemon=True)
        self.error = None

    def _run(self, function, *arguments):
        try:
            function(*arguments)
        except BaseException as error:          # raised where it is waited for
            self.error = error

    def __enter__(self):
        self.thread.start()

    def __exit__(self, kind, *_):
        if kind:
            return                              # nobody waits for it any more
        self.thread.join()
        if self.error:
            raise self.error


# ---- build and unit ----

BUILDS = {
    'gcc': 'gcc, warnings are errors',
    'clang': 'clang, warnings are errors',
    'sanitize': 'gcc, AddressSanitizer and UndefinedBehaviorSanitizer',
    'fuzz': 'clang, libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer',
    'coverage': 'clang, counting lines',
}


def run_builds(report, selection):
    """Builds what is asked for, and what the unit tests asked for need: {variant: built}."""
    built = {}
    for variant, what in BUILDS.items():
        name = 'build/' + variant
        needed = {
            'gcc': any(map(selection.may_have, ('unit/gcc/', 'bench/', 'vm/'))),
            'sanitize': selection.may_have('unit/sanitize/'),
            'fuzz': selection.may_have('fuzz/'),
            'coverage': selection.has('fuzz/coverage'),
        }.get(variant)
        if selection.has(name) or needed:
            built[variant] = timed(report, name, what, lambda v=variant: product.meson(v) and None)
    return built


def meson_tests(directory, names=()):
    """Runs tests of a build directory, all if none is named; yields (name, outcome, detail, seconds)."""
    env = dict(os.environ, ASAN_OPTIONS='detect_leaks=1:abort_on_error=1:strict_string_checks=1',
               UBSAN_OPTIONS='halt_on_error=1:print_stacktrace=1', LC_ALL='C.UTF-8', **clients.environment())
    log = os.path.join(directory, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    r = subprocess.run(['meson', 'test', '-C', directory, '--no-rebuild', '--num-processes', '2', *names], env=env,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=SLOW_SECONDS)
    if not os.path.exists(log):
        if 'No tests defined' in r.stdout:
            return
        yield 'meson', 'fail', r.stdout, 0
        return
    with open(log) as f:
        for line in f:
            t = json.loads(line)
            outcome = {'OK': 'ok', 'EXPECTEDFAIL': 'ok', 'SKIP': 'skip'}.get(t['result'], 'fail')
            detail = '%s\n%s\n%s' % (t['result'], t.get('stdout') or '', t.get('stderr') or '')
            if outcome == 'skip':
                detail = (t.get('stdout') or t.get('stderr') or 'it says so').strip().splitlines()[-1]
            suite = ','.join(s.split(':')[-1] for s in t.get('suite', []))
            yield t['name'].split(' / ')[-1] + (' [%s]' % suite if suite else ''), outcome, detail, t['duration']


def run_units(report, selection, built):
    for variant in ('gcc', 'sanitize'):
        if not selection.may_have('unit/%s/' % variant):
            continue
        if not built.get(variant):
            report('unit/%s/all' % variant, '', 'fail', 'build/%s did not work' % variant)
            continue
        try:
            for name, outcome, detail, seconds in meson_tests(product.build_dir(variant)):
                full = 'unit/%s/%s' % (variant, name)
                if selection.has(full):
                    report(full, '', outcome, detail, seconds)
        except subprocess.TimeoutExpired:
            report('unit/%s/all' % variant, '', 'fail', 'no end within %d s' % SLOW_SECONDS)


# ---- what calls, idling and removals cost ----

BENCHMARKS = {
    'ipc': 'calls against empty services',
    'idle': 'no wakeup in a minute, little memory',
    'plan': 'reading and planning 65 536 blocks against lsmem',
    'engine': 'migrations and instructions of a removal against the ascending loop',
}
# Instructions repeat, whatever else the machine does: no second guest at a time, something runs beside it.
ENGINE = ('--quick', '--states=untouched,25 %', '--ways=loop-asc,ours', '--jobs=1')


def benchmark(name):
    """Its lines are the notes."""
    build = product.build_dir('gcc')
    arguments = (*ENGINE, '--build=' + build) if name == 'engine' else (
        os.path.join(build, 'daemon/memunplugd'), TOP, os.path.join(build, 'tests/bench'))
    r = subprocess.run([sys.executable, os.path.join(TESTS, 'bench', name + '.py'), *arguments],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=SLOW_SECONDS)
    if r.returncode:
        raise checks.Failure(r.stdout + r.stderr)
    if '# SKIP' in r.stdout:
        raise checks.Skip(r.stdout.split('# SKIP', 1)[1].strip())
    return r.stdout.splitlines()


def run_benchmarks(report, selection, built, names=BENCHMARKS):
    for name in names:
        if not selection.has('bench/' + name):
            continue
        if built.get('gcc'):
            timed(report, 'bench/' + name, BENCHMARKS[name], benchmark, name)
        else:
            report('bench/' + name, BENCHMARKS[name], 'fail', 'build/gcc did not work')


# ---- style, module, guests ----

MODULE = (*checks.KMOD, ('in-tree', 'add-to-kernel, its patch, W=1', kerneltree.check_in_tree, ('6.1', '6.12')))


def run_checks(report, selection):
    for name, what, function in checks.STYLE:
        if selection.has('style/' + name):
            timed(report, 'style/' + name, what, function)
    for name, what, function in packaging.CHECKS:
        if selection.has('package/' + name):
            timed(report, 'package/' + name, what, function)
    for series in selection.series:
        for name, what, function, kernels in MODULE:
            full = 'kmod/%s/%s' % (series, name)
            if series in kernels and selection.has(full):
                timed(report, full, what, function, series)


def run_guests(report, selection, built):
    made = None
    for series in selection.series:
        wanted = [name for name, _ in cases.find(series) if selection.has(name)]
        if not wanted:
            continue
        if series == debugkernel.SERIES and not selection.asks_for(series):
            report('vm/debug', 'the module on the debug kernel', 'skip',
                   'takes too long here, and longer to build: ' + debugkernel.COMMAND)
            continue
        if made is None:
            if not built.get('gcc'):
                report('vm/all', '', 'fail', 'build/gcc did not work')
                return
            made = product.Product(product.build_dir('gcc'))
        cases.run(report, series, made, wanted)


def run_again(report, built):
    """Second tries of what failed by time."""
    def run_names(outcomes, pattern):
        suite, variant, name = (pattern.split('/', 2) + ['', ''])[:3]
        if suite == 'unit':
            for found, outcome, detail, seconds in meson_tests(product.build_dir(variant), [name.split(' [')[0]]):
                outcomes('unit/%s/%s' % (variant, found), '', outcome, detail, seconds)
        elif suite == 'bench':
            timed(outcomes, pattern, '', benchmark, variant)
        else:
            run_guests(outcomes, Selection([pattern], [variant]), built)
    again.run(report, dict(report.failures), run_names)


def list_all(selection):
    names = ['build/' + v for v in BUILDS] + ['unit/gcc/*', 'unit/sanitize/*']
    names += ['style/' + name for name, _, _ in checks.STYLE]
    names += ['package/' + name for name, _, _ in packaging.CHECKS]
    names += ['bench/' + name for name in BENCHMARKS] + ['fuzz/coverage', 'fuzz/*']
    for series in selection.series:
        names += ['kmod/%s/%s' % (series, name) for name, _, _, kernels in MODULE if series in kernels]
    for series in selection.series:
        names += [name for name, _ in cases.find(series)]
    for name in names:
        if selection.has(name) or name.endswith('*') and selection.may_have(name[:-1]):
            print(name)
    return 0


def main():
    p = argparse.ArgumentParser(prog='tests/run', description=DESCRIPTION,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--list', action='store_true', help='say the names, run nothing')
    p.add_argument('--kernel', action='append', choices=debugkernel.ALL, help='only this kernel series')
    p.add_argument('names', nargs='*', metavar='NAME')
    a = p.parse_args()
    selection = Selection(a.names, a.kernel or debugkernel.ALL)
    if a.list:
        return list_all(selection)
    os.chdir(TOP)
    machine.end_on_sigterm()
    report = Report()
    built = run_builds(report, selection)
    run_units(report, selection, built)
    with Beside(run_benchmarks, report, selection, built, ('idle', 'engine')):     # they count, and take no times
        run_checks(report, selection)
    run_benchmarks(report, selection, built, ('ipc', 'plan'))
    try:
        with Beside(fuzz.run if selection.may_have('fuzz/') else lambda *_: None, report, selection, built, timed):
            run_guests(report, selection, built)
    except BaseException:
        fuzz.stop()
        raise
    run_again(report, built)
    return report.end()


if __name__ == '__main__':
    sys.exit(main())
