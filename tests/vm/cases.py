# SPDX-License-Identifier: GPL-2.0-or-later
#
# The small framework of the guest tests: finds test_*.py, runs their test_* functions
# with a Test object, one report line each. It owns the order of things and the guests
# that several cases share; what is true or false is in the cases.
#
# A case is a function test_NAME(t); its docstring's first line says what must hold. It
# runs on kernel 6.1, and on others named with @kernels(...).

import fnmatch
import importlib
import os
import time
import traceback

import debian
import debugkernel
import machine
import product

HERE = os.path.dirname(os.path.abspath(__file__))


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def kernels(*series):
    def mark(function):
        function.kernels = series
        return function
    return mark


class Test:
    """What a case has: guests, checks, notes. Guests that it made end with it, shared ones with the module."""

    def __init__(self, kernel, made, shared, broken, results):
        self.kernel, self.product = kernel, made
        self.guests, self.shared_guests, self.broken, self.notes = [], shared, broken, []
        self.chained = set()
        self.results = results                  # figures of this run, for cases that compare

    def guest(self, **options):
        """A guest of this case alone."""
        guest = self._boot(options)
        self.guests.append(guest)
        return guest

    def shared(self, name, prepare=None, chained=False, **options):
        """
        A guest that several cases use, one after the other. prepare(guest) once, after boot. After a
        failure the next case gets a fresh one; chained cases build on each other and all fail then.
        """
        if name in self.broken:
            raise Failure('see above: an earlier case or the preparation failed')
        if chained:
            self.chained.add(name)
        if name not in self.shared_guests:
            self.broken.add(name)
            guest = self.shared_guests[name] = self._boot(options)
            if prepare:
                prepare(guest)
            self.broken.remove(name)
        return self.shared_guests[name]

    def _boot(self, options):
        options.setdefault('product', self.product)
        make = options.pop('make', machine.Guest)
        return make(kernel=self.kernel, log=self.notes.append, **options)

    def plain(self):
        """A product that is only the helpers: the kernel as Debian has it."""
        return product.Product(module=False)

    def bare(self):
        """A product without the daemon: the helpers and the modules."""
        return product.Product()

    def need_product(self, *programs):
        """Skips where the tree does not build these programs."""
        for name in programs or ('memunplugd', 'memunplugctl'):
            if not any(os.path.basename(d) == name for _, d in self.product.installed):
                raise Skip('%s is not built' % name)

    def note(self, text, *values):
        self.notes.append(text % values if values else text)

    def skip(self, reason):
        raise Skip(reason)

    def fail(self, text):
        raise Failure(text)

    def true(self, value, what):
        if not value:
            raise Failure(what)
        return value

    def equal(self, value, wanted, what):
        if value != wanted:
            raise Failure('%s: %r, not %r' % (what, value, wanted))

    def at_most(self, value, limit, what):
        if value > limit:
            raise Failure('%s: %s, more than %s' % (what, value, limit))

    def at_least(self, value, limit, what):
        if value < limit:
            raise Failure('%s: %s, less than %s' % (what, value, limit))


def modules():
    return sorted(n[:-3] for n in os.listdir(HERE) if n.startswith('test_') and n.endswith('.py'))


def find(series, patterns=()):
    """Cases of a kernel: (full name, function), in order of file and line."""
    found = []
    for name in modules():
        module = importlib.import_module(name)
        functions = [(k, f) for k, f in vars(module).items() if k.startswith('test_') and callable(f)]
        for key, function in sorted(functions, key=lambda kf: kf[1].__code__.co_firstlineno):
            full = 'vm/%s/%s/%s' % (series, name[5:], key[5:])
            if series not in getattr(function, 'kernels', ('6.1',)):
                continue
            if patterns and not any(fnmatch.fnmatch(full, p) for p in patterns):
                continue
            found.append((full, function))
    return found


def _first_line(function):
    return (function.__doc__ or '').strip().split('\n')[0]


def _run_case(function, test):
    """Runs one case: (outcome, detail)."""
    try:
        function(test)
        for guest in [*test.guests, *test.shared_guests.values()]:
            splats = guest.splats()
            if splats:
                raise Failure('the kernel said: ' + splats[0] + '\n' + guest.tail(60))
        return 'ok', ''
    except Skip as reason:
        return 'skip', str(reason)
    except (Failure, machine.GuestError, debian.PackageError, product.BuildError) as error:
        lines = [str(error)]
        for frame in traceback.extract_tb(error.__traceback__):
            if os.path.basename(frame.filename).startswith('test_'):
                lines.append('at %s:%d: %s' % (os.path.basename(frame.filename), frame.lineno, frame.line))
        return 'fail', '\n'.join(lines)
    except Exception:                           # a mistake in the case itself
        return 'fail', traceback.format_exc()


def _close(guests):
    for guest in guests:
        guest.close()


def run(report, series, made, patterns=()):
    """Runs the cases of a kernel. report(name, what, outcome, detail, seconds, notes)."""
    cases, shared, broken, module, results = find(series, patterns), {}, set(), None, {}
    if not cases:
        return
    try:
        kernel = debugkernel.kernel(series)
        product.helpers()
    except (debian.PackageError, product.BuildError) as error:
        for i, (name, function) in enumerate(cases):
            report(name, _first_line(function), 'fail', 'as above' if i else str(error), 0, [])
        return
    try:
        for name, function in cases:
            if function.__module__ != module:
                _close(shared.values())
                shared.clear()
                broken.clear()
                module = function.__module__
            test = Test(kernel, made, shared, broken, results)
            begin = time.monotonic()
            outcome, detail = _run_case(function, test)
            if outcome == 'fail':
                for guest in [*test.guests, *shared.values()]:
                    detail += '\n-- console of the guest:\n' + guest.tail()
                broken |= test.chained
                _close(shared.values())         # who knows what state they are in
                shared.clear()
            _close(test.guests)
            report(name, _first_line(function), outcome, detail, time.monotonic() - begin, test.notes)
    finally:
        _close(shared.values())
