# SPDX-License-Identifier: GPL-2.0-or-later
#
# The debug kernel: Debian's source of 6.1 with debug-kernel.config, built here and kept
# in the cache under the source, the configuration and the compiler that it was made
# from. It owns how that is built; a guest uses it as any other kernel.

import glob
import hashlib
import os
import re
import shutil
import subprocess
import time

import debian
import product

HERE = os.path.dirname(os.path.abspath(__file__))
SERIES = 'debug'                                # beside debian.SERIES
ALL = [*sorted(debian.SERIES), SERIES]
BASE = '6.1'
CONFIG = os.path.join(HERE, 'debug-kernel.config')
COMMAND = 'tests/run vm/debug'

# What this configuration builds nothing of: two thirds of the source. It is still asked about all of it.
LEFT_OUT = re.compile(r'Documentation/|LICENSES/|rust/|samples/|sound/|arch/(?!x86/)[^/]+/|tools/(perf|testing)/|'
                      r'drivers/(gpu|hwmon|iio|infiniband|isdn|media|mtd|net/[^/]+|scsi|staging|usb|video)/')
ASKED = re.compile(r'(^|/)(Kconfig|Kbuild|Makefile)[^/]*$')
# What modules are built against; the rest goes when the kernel is there.
KEPT = ('arch', 'include', 'scripts', 'tools')


def _wanted():
    """The lines of the configuration that must come true."""
    with open(CONFIG) as f:
        return [line.rstrip('\n') for line in f if line.startswith('CONFIG_')]


def _place():
    """Where the kernel made from these sources is, or will be: its folder and key."""
    source = debian.source_archive(BASE)
    compiler = subprocess.run(['gcc', '--version'], check=True, capture_output=True, text=True).stdout
    text = '\n'.join(['%s %d' % (os.path.basename(source), os.path.getmtime(source)), compiler, *_wanted()])
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    return os.path.join(debian.cache_dir('debug-kernel'), key), key


def _make(tree, *arguments):
    product.run(['make', '-s', '-C', tree, '-j%d' % (os.cpu_count() or 1), *arguments])


def _configure(tree):
    _make(tree, 'allnoconfig', 'KCONFIG_ALLCONFIG=' + CONFIG)
    with open(os.path.join(tree, '.config')) as f:
        true = set(f.read().splitlines())
    untrue = [line for line in _wanted() if line not in true]
    if untrue:
        raise product.BuildError('not in this configuration of the kernel: ' + ', '.join(untrue))


def _compile(tree, target, key):
    version = 'LOCALVERSION=-debug-' + key
    _configure(tree)
    _make(tree, version, 'bzImage', 'modules')
    _make(tree, version, 'modules_install', 'INSTALL_MOD_PATH=' + target)
    shutil.copy(os.path.join(tree, 'arch/x86/boot/bzImage'), os.path.join(target, 'vmlinuz'))


def _trim(tree):
    """Leaves what modules are built against."""
    for name in os.listdir(tree):
        if name not in KEPT and os.path.isdir(os.path.join(tree, name)):
            shutil.rmtree(os.path.join(tree, name))
    for path in (*glob.glob(os.path.join(tree, 'vmlinux*')),
                 *glob.glob(os.path.join(tree, 'arch/**/*.[oa]'), recursive=True)):
        os.unlink(path)


def _build(target, key):
    tree = os.path.join(target, 'build')
    shutil.rmtree(target, ignore_errors=True)
    debian.unpack_source(BASE, tree, lambda name: not LEFT_OUT.match(name) or ASKED.search(name))
    _compile(tree, target, key)
    _trim(tree)
    with open(os.path.join(target, '.complete'), 'w'):
        pass


class DebugKernel(debian.Kernel):
    """The debug kernel, built if it is not there yet, which takes a quarter of an hour or more."""

    # Emulation is slow, this kernel more so, and the host may be busy: no reason to call it locked up.
    arguments = ('watchdog_thresh=60', 'slub_debug=U')
    make_arguments = ('UBSAN_SANITIZE=y',)

    def __init__(self):
        self.series = SERIES
        self.root, key = _place()
        with debian.Lock('debug-kernel'):
            if not os.path.exists(os.path.join(self.root, '.complete')):
                begin = time.monotonic()
                print('# building the debug kernel', flush=True)
                _build(self.root, key)
                print('# built in %.0f s' % (time.monotonic() - begin), flush=True)
        self.build_tree = os.path.join(self.root, 'build')
        with open(os.path.join(self.build_tree, 'include/config/kernel.release')) as f:
            self.release = f.read().strip()
        self.image = os.path.join(self.root, 'vmlinuz')
        self.modules = os.path.join(self.root, 'lib', 'modules', self.release)

    @property
    def build(self):
        return self.build_tree


def kernel(series):
    """The kernel of a series, of Debian or the debug kernel."""
    return DebugKernel() if series == SERIES else debian.Kernel(series)
