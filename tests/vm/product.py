# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is built from this tree for a guest: the test helpers, the kernel module, the
# daemon and all it installs. It owns build directories below the cache; it decides
# nothing about how the guest uses what it gets.

import hashlib
import json
import os
import shutil
import subprocess

import debian

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
HELPER_DIR = 'usr/lib/memunplug-test'


class BuildError(Exception):
    pass


BROKEN = {}                                     # helpers that do not build: name -> why


def run(argv, cwd=None, env=None):
    r = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode:
        raise BuildError('%s: exit status %d\n%s' % (' '.join(argv), r.returncode, r.stdout))
    return r.stdout


def tree_hash(*paths):
    """One hash over names and contents of files and folders."""
    h = hashlib.sha256()
    for path in paths:
        if os.path.isfile(path):
            files = [path]
        else:
            files = sorted(os.path.join(d, f) for d, _, names in os.walk(path) for f in names)
        for name in files:
            h.update(os.path.relpath(name, TOP).encode() + b'\0')
            with open(name, 'rb') as f:
                h.update(hashlib.sha256(f.read()).digest())
    return h.hexdigest()[:16]


def helpers():
    """The static programs of tests/vm: {name: path}. NAME_MORE.c is a part of NAME.c; all may use pages.c."""
    names = sorted(n[:-2] for n in os.listdir(HERE) if n.endswith('.c') and n != 'pages.c')
    sources = {name: ['pages.c', *(n + '.c' for n in names if n == name or n.startswith(name + '_'))]
               for name in names if not any(name.startswith(n + '_') for n in names)}
    contract = os.path.join(TOP, 'kmod/include/uapi')
    key = tree_hash(*(os.path.join(HERE, n) for n in sorted(os.listdir(HERE)) if n[-2:] in ('.c', '.h')), contract)
    out = debian.cache_dir('helpers', key)
    with debian.Lock('helpers'):
        for name, files in sources.items():
            path = os.path.join(out, name)
            if os.path.exists(path):
                continue
            try:
                run(['gcc', '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-I', contract,
                     '-o', path + '.new', *files], cwd=HERE)
                os.rename(path + '.new', path)
            except BuildError as error:         # only the cases that need it shall fail
                BROKEN[name] = str(error)
    return {name: os.path.join(out, name) for name in sources if name not in BROKEN}


def kmod(kernel):
    """The kernel modules of this tree, built for a kernel: list of .ko paths. Empty without kmod/."""
    source = os.path.join(TOP, 'kmod')
    if not any(os.path.exists(os.path.join(source, n)) for n in ('Kbuild', 'Makefile')):
        return []
    key = tree_hash(source)
    work = os.path.join(debian.cache_dir('kmod'), '%s-%s' % (kernel.release, key))
    with debian.Lock('kmod-' + kernel.series):
        if not os.path.exists(os.path.join(work, '.complete')):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(source, work, ignore=shutil.ignore_patterns('*.o', '*.ko', '*.mod*', '.*.cmd'))
            run(['make', '-j2', '-C', kernel.build, 'M=' + work, *kernel.make_arguments, 'modules'])
            with open(os.path.join(work, '.complete'), 'w'):
                pass
    return sorted(os.path.join(work, n) for n in os.listdir(work) if n.endswith('.ko'))


def build_dir(variant='plain'):
    """The Meson build directory of a variant, per checkout."""
    checkout = hashlib.sha256(TOP.encode()).hexdigest()[:8]
    return os.path.join(debian.cache_dir('build', checkout), variant)


VARIANTS = {                                    # name: (environment, Meson options)
    'plain': ({'CC': 'gcc'}, ['-Dtests=disabled']),   # what guests are given, and nothing else
    'gcc': ({'CC': 'gcc'}, ['-Dwerror=true', '-Dbuildtype=debugoptimized']),
    'clang': ({'CC': 'clang'}, ['-Dwerror=true', '-Dbuildtype=debugoptimized']),
    # gcc's warnings are not reliable together with its sanitizers.
    'sanitize': ({'CC': 'gcc'}, ['-Dwerror=false', '-Db_sanitize=address,undefined', '-Db_lundef=false']),
    'fuzz': ({'CC': 'clang'}, ['-Dfuzz=true', '-Dtests=disabled', '-Db_sanitize=address,undefined',
                               '-Db_lundef=false']),
    # The profile of Meson's own trial programs is nobody's, and would land in the source tree.
    'coverage': ({'CC': 'clang', 'CFLAGS': '-fprofile-instr-generate -fcoverage-mapping',
                  'LDFLAGS': '-fprofile-instr-generate', 'LLVM_PROFILE_FILE': '/dev/null'}, ['-Dtests=disabled']),
}


def meson(variant='plain'):
    """Builds the daemon and all that is installed with it: the build directory."""
    directory = build_dir(variant)
    env, options = VARIANTS[variant]
    env = dict(os.environ, **env)
    with debian.Lock('build-' + variant):
        if not os.path.exists(os.path.join(directory, 'build.ninja')):
            shutil.rmtree(directory, ignore_errors=True)
            run(['meson', 'setup', '--prefix=/usr', '--sysconfdir=/etc', '--localstatedir=/var',
                 *options, directory, TOP], env=env)
        run(['ninja', '--quiet', '-C', directory], env=env)
    return directory


class Product:
    """What is put into a guest. build: a Meson build directory, or None without the daemon."""

    def __init__(self, build=None, module=True):
        self.build, self.module = build, module
        self.installed = []
        if build:
            plan = json.loads(run(['meson', 'introspect', '--installed', build]))
            self.installed = sorted((s, d) for s, d in plan.items() if os.path.isfile(s))

    def path_of(self, name):
        """Where a program of the product is in the guest."""
        for _, destination in self.installed:
            if os.path.basename(destination) == name:
                return destination
        raise BuildError('%s is not among what is installed' % name)

    def add_to(self, image, kernel):
        for name, path in helpers().items():
            image.file('%s/%s' % (HELPER_DIR, name), path, 0o755)
            if name != 'agent':
                image.link('usr/bin/' + name, '/%s/%s' % (HELPER_DIR, name))
        if self.module:
            for path in kmod(kernel):
                image.file('lib/modules/%s/updates/%s' % (kernel.release, os.path.basename(path)), path, 0o644)
        for source, destination in self.installed:
            if os.access(source, os.X_OK):
                image.program(destination, source)
            else:
                image.file(destination, source)
