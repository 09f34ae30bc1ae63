# SPDX-License-Identifier: GPL-2.0-or-later
#
# Checks of the tree that need more than a Meson test has: text of all files, what
# systemd thinks of the unit, and the kernel module's warnings on each kernel. Layers,
# sizes and licences are in tests/style; running and counting is run.py's.

import ast
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import tarfile

import debian
import product

TOP = product.TOP


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def files(*patterns):
    """Files of the tree that git knows or would take, as names below the top."""
    out = subprocess.run(['git', '-C', TOP, 'ls-files', '-co', '--exclude-standard', '--', *patterns],
                         capture_output=True, text=True)
    if out.returncode:                          # an unpacked archive
        names = [os.path.relpath(os.path.join(d, f), TOP) for d, _, fs in os.walk(TOP) for f in fs]
        return sorted(n for n in names if not patterns or
                      any(n.startswith(p.rstrip('*')) or fnmatch.fnmatch(n, p) for p in patterns))
    return sorted(n for n in set(out.stdout.splitlines()) if os.path.isfile(os.path.join(TOP, n)))


def read(name):
    with open(os.path.join(TOP, name), errors='surrogateescape') as f:
        return f.read()


def verdict(problems):
    if problems:
        raise Failure('\n'.join(problems))


# ---- form ----

def check_text():
    """No tabs in C outside kmod/, no trailing blanks, a newline at the end."""
    problems = []
    for name in files('daemon', 'tests', 'kmod', 'policy', 'units', 'docs', '.ci', 'meson.build'):
        if '/corpus/' in name or '/data/' in name or '/dumps/' in name:
            continue
        text = read(name)
        if text and not text.endswith('\n'):
            problems.append(name + ': no newline at the end')
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                problems.append('%s:%d: trailing blanks' % (name, number))
            if '\t' in line and name.endswith(('.c', '.h', '.py')) and not name.startswith('kmod/'):
                problems.append('%s:%d: a tab' % (name, number))
    verdict(problems)


def check_scripts():
    """Shell and Python files can be parsed."""
    problems = []
    for name in files():
        path = os.path.join(TOP, name)
        first = read(name).split('\n', 1)[0]
        if name.endswith('.py') or first.startswith('#!') and 'python' in first:
            try:
                ast.parse(read(name), name)
            except SyntaxError as error:
                problems.append(str(error))
        elif first.startswith('#!/bin/sh'):
            r = subprocess.run(['sh', '-n', path], capture_output=True, text=True)
            if r.returncode:
                problems.append(r.stderr.strip())
    verdict(problems)


# ---- what systemd makes of it ----

def check_units():
    """The unit files are understood by systemd, and the service is closed enough."""
    if not shutil.which('systemd-analyze'):
        raise Skip('no systemd-analyze')
    unit = os.path.join(product.build_dir('gcc'), 'units', 'memunplugd.service')
    if not os.path.exists(unit):
        raise Skip('build/gcc made no memunplugd.service')
    r = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=20', '--no-pager', unit],
                       capture_output=True, text=True)
    if r.returncode:
        raise Failure(r.stdout[-4000:] + r.stderr)
    return [line.strip(' →') for line in r.stdout.splitlines() if 'Overall exposure' in line]


STYLE = (
    ('text', 'tabs, blanks', check_text),
    ('scripts', 'shell and Python parse', check_scripts),
    ('units', 'systemd-analyze security: 2.0 or better', check_units),
)


# ---- kernel module ----

def _kmod_copy(series, name):
    source = os.path.join(TOP, 'kmod')
    if not os.path.exists(os.path.join(source, 'Kbuild')):
        raise Skip('no module in this tree')
    work = os.path.join(debian.cache_dir('kmod'), 'check-%s-%s' % (series, name))
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns('*.o', '*.ko', '*.mod*', '.*.cmd'))
    return work


def check_kmod_warnings(series):
    """gcc with W=1 says nothing."""
    work = _kmod_copy(series, 'warnings')
    out = product.run(['make', '-j2', '-C', debian.Kernel(series).build, 'M=' + work, 'W=1', 'modules'])
    verdict([line for line in out.splitlines() if re.search(r'(warning|error):|WARNING:', line)])


def check_kmod_sparse(series):
    """sparse says nothing about our files."""
    if not shutil.which('sparse'):
        raise Skip('no sparse')
    work = _kmod_copy(series, 'sparse')
    out = product.run(['make', '-j2', '-C', debian.Kernel(series).build, 'M=' + work, 'C=2', 'CF=-D__CHECK_ENDIAN__',
                       'modules'])
    ours = [line for line in out.splitlines()
            if re.search(r'(warning|error):', line) and line.lstrip().startswith(work)]
    verdict(ours)


def _checkpatch():
    """checkpatch.pl with its word lists, out of an installed linux-source package; kept in the cache."""
    archives = sorted(glob.glob('/usr/src/linux-source-*.tar.xz'))
    if not archives:
        raise Skip('checkpatch comes with linux-source, which is not installed')
    target = debian.cache_dir('checkpatch', os.path.basename(archives[-1])[:-7])
    wanted = ('checkpatch.pl', 'spelling.txt', 'const_structs.checkpatch')
    if not all(os.path.exists(os.path.join(target, n)) for n in wanted):
        with tarfile.open(archives[-1], 'r|xz') as archive:
            for member in archive:
                name = member.name.split('/', 1)[-1]
                if os.path.dirname(name) == 'scripts' and os.path.basename(name) in wanted:
                    with open(os.path.join(target, os.path.basename(name)), 'wb') as f:
                        f.write(archive.extractfile(member).read())
    os.chmod(os.path.join(target, 'checkpatch.pl'), 0o755)
    return os.path.join(target, 'checkpatch.pl')


def check_kmod_checkpatch(_series):
    """checkpatch says nothing; what it is asked stands in kmod/Makefile."""
    script = _checkpatch()
    r = subprocess.run(['make', '-s', '-C', os.path.join(TOP, 'kmod'), 'style', 'CHECKPATCH=' + script],
                       capture_output=True, text=True)
    if r.returncode:
        raise Failure(r.stdout[-8000:] + r.stderr)


KMOD = (
    ('warnings', 'W=1', check_kmod_warnings, ('6.1', '6.12')),
    ('sparse', 'C=2', check_kmod_sparse, ('6.1', '6.12')),
    ('checkpatch', '--strict', check_kmod_checkpatch, ('6.1',)),
)
