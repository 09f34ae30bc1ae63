# SPDX-License-Identifier: GPL-2.0-or-later
#
# Checks of the tree itself: form, layers, sizes, and the kernel module's warnings. It
# owns the rules (from docs/HACKING.md); running and counting them is run.py's.

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

COLUMNS, FUNCTION_LINES, SOURCE_LINES, HEADER_LINES = 109, 60, 500, 100

# A folder of daemon/ includes only itself and folders to its right.
LAYERS = ('source', 'front', 'request', 'engine', 'memory', 'util')

# Over the size limits, with the reason. Going over is a reason to talk first.
LONG_FUNCTIONS = {}
LONG_FILES = {
    'kmod/include/uapi/linux/memunplug.h': 'the contract in one piece, half of it documentation',
    'kmod/memunplug_trace.h': 'the tracing macros want one header for all events',
}


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

SPDX_EXEMPT = ('LICENSE', '.md', '.json', '.bin', '.gitignore', '.gitattributes')


def needs_spdx(name):
    return not (name.endswith(SPDX_EXEMPT) or '/corpus/' in name or '/data/' in name or '/dumps/' in name)


def check_licences():
    """Every file says its licence in its first lines, and the right one."""
    problems = []
    for name in filter(needs_spdx, files()):
        m = re.search(r'SPDX-License-Identifier: ([\w.+ -]+)', '\n'.join(read(name).splitlines()[:4]))
        if not m:
            problems.append(name + ': no SPDX line')
            continue
        licence = m[1].split('*/')[0].split('-->')[0].rstrip(' -')
        wanted = 'GPL-2.0-or-later'
        if name.startswith('kmod/'):
            wanted = ('GPL-2.0-only WITH Linux-syscall-note' if '/uapi/' in name else 'GPL-2.0-only')
        if licence != wanted:
            problems.append('%s: %s, not %s' % (name, licence, wanted))
    verdict(problems)


def check_text():
    """No tabs in C of the daemon, no trailing blanks, no long lines, a newline at the end."""
    problems = []
    for name in files('daemon', 'tests', 'kmod', 'policy', 'units', 'docs', '.ci', 'meson.build'):
        if '/corpus/' in name or '/data/' in name or '/dumps/' in name:
            continue
        text = read(name)
        if text and not text.endswith('\n'):
            problems.append(name + ': no newline at the end')
        columns = 100 if name.startswith('kmod/') else COLUMNS
        for number, line in enumerate(text.splitlines(), 1):
            where = '%s:%d: ' % (name, number)
            if line != line.rstrip():
                problems.append(where + 'trailing blanks')
            if not name.endswith(('.c', '.h', '.py')):
                continue
            if not name.startswith('kmod/') and '\t' in line:
                problems.append(where + 'a tab')
            if len(line.expandtabs(8)) > max(columns, 120 if not name.endswith(('.c', '.h')) else 0):
                problems.append(where + '%d columns' % len(line.expandtabs(8)))
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


# ---- shape ----

def check_layers():
    """A folder of daemon/ includes only itself and folders to its right; no goto in daemon/."""
    problems = []
    for name in files('daemon/*.c', 'daemon/*.h'):
        parts = name.split('/')
        folder = parts[1] if len(parts) > 2 else None
        for number, line in enumerate(read(name).splitlines(), 1):
            where = '%s:%d: ' % (name, number)
            code = re.sub(r'/\*.*?\*/|"[^"]*"', '', line)
            if re.search(r'\bgoto\b', code) and not line.lstrip().startswith(('*', '/*')):
                problems.append(where + 'goto')
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            target = m[1].split('/')[0] if '/' in m[1] else None
            if folder and not target and not name.endswith('main.c') and not os.path.exists(
                    os.path.join(TOP, 'daemon', m[1])):
                problems.append(where + 'include without its folder')
            if folder in LAYERS and target in LAYERS and LAYERS.index(target) < LAYERS.index(folder):
                problems.append(where + '%s includes %s' % (folder, target))
            if folder == 'ctl' and target not in ('ctl', 'util', 'memory', None):
                problems.append(where + 'the client includes ' + target)
    verdict(problems)


FUNCTION = re.compile(r'^(?!typedef|struct|enum|union|static const|extern|#|/)[A-Za-z_].*\)\s*(?:__\w+\s*)?\{$')


def functions(text):
    """(name, first line, lines) of the function bodies of C text in our style."""
    start = None
    previous = ''
    for number, line in enumerate(text.splitlines(), 1):
        if start is None:
            opened = FUNCTION.match(line) or line == '{' and previous.rstrip().endswith(')') or \
                re.match(r'^\s+.*\)\s*\{$', line) and re.match(r'^[A-Za-z_].*\($|^[A-Za-z_].*[(,]$', previous)
            if opened:
                source = line if '(' in line and not line.startswith((' ', '\t', '{')) else previous
                m = re.search(r'(\w+)\s*\(', source)
                start = (m[1] if m else '?', number)
        elif line.startswith('}'):
            yield start[0], start[1], number - start[1] + 1
            start = None
        previous = line


def check_sizes():
    """Functions, files and headers are within their limits."""
    problems = []
    for name in files('daemon/*.c', 'daemon/*.h', 'kmod/*.c', 'kmod/*.h', 'tests/*.c', 'tests/*.h'):
        text = read(name)
        lines = text.count('\n')
        limit = HEADER_LINES if name.endswith('.h') else SOURCE_LINES
        if lines > limit and name not in LONG_FILES and not name.startswith('tests/'):
            problems.append('%s: %d lines, more than %d' % (name, lines, limit))
        for function, number, length in functions(text):
            if length > FUNCTION_LINES and '%s:%s' % (name, function) not in LONG_FUNCTIONS:
                problems.append('%s:%d: %s has %d lines, more than %d'
                                % (name, number, function, length, FUNCTION_LINES))
    verdict(problems)


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
    ('licences', 'SPDX lines', check_licences),
    ('text', 'tabs, blanks, columns', check_text),
    ('scripts', 'shell and Python parse', check_scripts),
    ('layers', 'who includes whom', check_layers),
    ('sizes', 'functions, files, headers', check_sizes),
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
    out = product.run(['make', '-C', debian.Kernel(series).build, 'M=' + work, 'W=1', 'modules'])
    verdict([line for line in out.splitlines() if re.search(r'(warning|error):|WARNING:', line)])


def check_kmod_sparse(series):
    """sparse says nothing about our files."""
    if not shutil.which('sparse'):
        raise Skip('no sparse')
    work = _kmod_copy(series, 'sparse')
    out = product.run(['make', '-C', debian.Kernel(series).build, 'M=' + work, 'C=2', 'CF=-D__CHECK_ENDIAN__',
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
