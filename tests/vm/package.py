# SPDX-License-Identifier: GPL-2.0-or-later
#
# The Debian packages of this tree: a clean copy, built by dpkg-buildpackage as anybody
# would. It owns the copies and packages below the cache; what must be true of them is
# tests/lib/packaging.py's.

import functools
import glob
import os
import shutil
import subprocess

import debian
import product

TOP = product.TOP

# What is built from, and what the build itself runs.
PARTS = ('LICENSE', 'NEWS.md', 'README.md', 'meson.build', 'meson_options.txt', 'daemon', 'debian', 'docs', 'kmod',
         'policy', 'units', 'tests')
APART = ('tests/vm/', 'tests/lib/', 'tests/run', 'tests/demo')


def _files():
    """Names of the files that a clean copy has, below the top."""
    out = subprocess.run(['git', '-C', TOP, 'ls-files', '-co', '--exclude-standard', '--', *PARTS],
                         capture_output=True, text=True)
    if out.returncode:                          # an unpacked archive: as it is
        names = [os.path.relpath(os.path.join(d, f), TOP) for p in PARTS for d, _, fs in os.walk(os.path.join(TOP, p))
                 for f in fs]
        names += [p for p in PARTS if os.path.isfile(os.path.join(TOP, p))]
    else:
        names = out.stdout.splitlines()
    return sorted(n for n in set(names) if os.path.isfile(os.path.join(TOP, n)) and not n.startswith(APART))


@functools.cache
def build():
    """Builds the packages: the directory with them and `log`. What tests the build has, tests/run runs itself."""
    names = _files()
    out = os.path.join(debian.cache_dir('packages'), product.tree_hash(*(os.path.join(TOP, n) for n in names)))
    with debian.Lock('packages'):
        if os.path.exists(os.path.join(out, '.complete')):
            return out
        for old in sorted(glob.glob(os.path.join(os.path.dirname(out), '*')), key=os.path.getmtime)[:-2]:
            shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(out, ignore_errors=True)
        source = os.path.join(out, 'memunplug')
        for name in names:
            os.makedirs(os.path.dirname(os.path.join(source, name)), exist_ok=True)
            shutil.copy2(os.path.join(TOP, name), os.path.join(source, name))
        log = product.run(['dpkg-buildpackage', '-b', '-us', '-uc', '-j2'], cwd=source,
                          env=dict(os.environ, LC_ALL='C.UTF-8', DEB_BUILD_OPTIONS='nocheck'))
        with open(os.path.join(out, 'log'), 'w') as f:
            f.write(log)
        shutil.rmtree(source)
        with open(os.path.join(out, '.complete'), 'w'):
            pass
    return out


def deb(name):
    """Path of one of the packages."""
    found = glob.glob(os.path.join(build(), name + '_*.deb'))
    if len(found) != 1:
        raise product.BuildError('the build made no package %s' % name)
    return found[0]


def debs():
    """What is installed in a guest."""
    return [deb('memunplugd')]
