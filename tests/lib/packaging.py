# SPDX-License-Identifier: GPL-2.0-or-later
#
# What must be true of the Debian packages of this tree: they build from a clean copy,
# lintian finds nothing, all is where it belongs, the header compiles and DKMS makes the
# module. That they install and run is seen in the guests, tests/vm/test_system.py.

import glob
import os
import shutil
import subprocess
import tempfile

import checks
import debian
import package
import product

# Files that must be there; what else is in a package must be below one of its folders.
CONTENTS = {
    'memunplugd': ('lib/systemd/system/memunplugd.service', 'lib/systemd/system/memunplugd.socket',
                   'lib/systemd/system/memunplug-owners.socket', 'lib/systemd/system/memunplug-owners@.service',
                   'lib/udev/rules.d/70-memunplug.rules', 'usr/bin/memunplugctl', 'usr/libexec/memunplugd',
                   'usr/libexec/memunplug-owners', 'usr/lib/memunplug/memunplugd.conf',
                   'usr/lib/systemd/catalog/memunplugd.catalog', 'usr/lib/sysusers.d/memunplug.conf',
                   'usr/share/dbus-1/interfaces/org.memunplug1.Manager.xml',
                   'usr/share/dbus-1/system-services/org.memunplug1.service',
                   'usr/share/dbus-1/system.d/org.memunplug1.conf', 'usr/share/man/man1/memunplugctl.1.gz',
                   'usr/share/man/man8/memunplugd.service.8.gz', 'usr/share/man/man4/memunplug_balloon.4.gz',
                   'usr/share/polkit-1/actions/org.memunplug1.policy',
                   'usr/share/varlink/org.memunplug.varlink', 'usr/share/bash-completion/completions/memunplugctl',
                   'usr/share/zsh/vendor-completions/_memunplugctl'),
    'memunplug-dkms': ('usr/src/memunplug-%(version)s/dkms.conf', 'usr/src/memunplug-%(version)s/Kbuild',
                       'usr/src/memunplug-%(version)s/include/uapi/linux/memunplug.h'),
    'memunplug-dev': ('usr/include/linux/memunplug.h', 'usr/include/linux/memunplug_balloon.h'),
}
FOLDERS = {
    'memunplugd': ('lib/systemd/system/', 'lib/udev/rules.d/', 'usr/'),
    'memunplug-dkms': ('usr/src/memunplug-%(version)s/', 'usr/share/doc/'),
    'memunplug-dev': ('usr/include/linux/', 'usr/share/doc/'),
}


def _version():
    text = checks.read('debian/changelog').split('(', 1)[1].split(')', 1)[0]
    return text.rsplit('-', 1)[0]


def _need(*programs):
    for name in programs:
        if not shutil.which(name, path=os.environ['PATH'] + ':/sbin:/usr/sbin'):
            raise checks.Skip('no ' + name)


def _unpack(name, target):
    subprocess.run(['dpkg-deb', '-x', package.deb(name), target], check=True)
    return target


def check_build():
    """dpkg-buildpackage makes the packages, with what belongs into them and nothing else."""
    _need('dpkg-buildpackage', 'dh')
    values, problems, notes = {'version': _version()}, [], []
    for name, wanted in CONTENTS.items():
        listing = subprocess.run(['dpkg-deb', '-c', package.deb(name)], check=True, capture_output=True, text=True)
        entries = [line.split(None, 5) for line in listing.stdout.splitlines()]
        names = {e[5].split(' -> ')[0][2:] for e in entries if not e[0].startswith('d')}
        problems += ['%s: no %s' % (name, w % values) for w in wanted if w % values not in names]
        folders = tuple(f % values for f in FOLDERS[name])
        problems += ['%s: %s' % (name, n) for n in sorted(names) if not n.startswith(folders)]
        problems += ['%s: %s' % (name, ' '.join(e)) for e in entries if e[1] != 'root/root' or 's' in e[0][1:]]
        notes.append('%s: %d files' % (os.path.basename(package.deb(name)), len(names)))
    checks.verdict(problems)
    return notes


def check_lintian():
    """lintian has no error and no warning, and nothing was overridden."""
    _need('lintian')
    changes = glob.glob(os.path.join(package.build(), '*.changes'))
    r = subprocess.run(['lintian', '--allow-root', '--show-overrides', '--display-level=>=warning', *changes],
                       capture_output=True, text=True)
    checks.verdict([line for line in r.stdout.splitlines() if line.strip() and not line.startswith('N:')])
    if r.returncode:
        raise checks.Failure(r.stdout + r.stderr)


def check_header():
    """the contracts of the devices compile by themselves as C and as C++, for 64 and 32 bits."""
    _need('gcc', 'g++')
    with tempfile.TemporaryDirectory() as work:
        include = os.path.join(_unpack('memunplug-dev', work), 'usr/include')
        tries = [('gcc', '-std=c99', '-m64'), ('gcc', '-std=gnu11', '-m64'), ('g++', '-std=c++11', '-m64')]
        if glob.glob('/usr/include/gnu/stubs-32.h') or glob.glob('/usr/include/*/gnu/stubs-32.h'):
            # the 64-bit package's asm/ serves both, as gcc-multilib has it
            tries.append(('gcc', '-std=gnu11', '-m32', '-idirafter', '/usr/include/x86_64-linux-gnu'))
        for compiler, *options in tries:
            language = 'c++' if compiler == 'g++' else 'c'
            r = subprocess.run([compiler, *options, '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-I', include,
                                '-x', language, '-'], input='#include <linux/memunplug_balloon.h>\n#include <linux/memunplug.h>\nint x;\n', text=True,
                               capture_output=True)
            if r.returncode:
                raise checks.Failure('%s %s: %s' % (compiler, ' '.join(options), r.stderr))
    return [' '.join((c, *o)) for c, *o in tries]


def check_dkms(series):
    """DKMS builds the module out of the package, in trees of its own."""
    _need('dkms')
    kernel, version = debian.Kernel(series), _version()
    with tempfile.TemporaryDirectory() as work:
        root = _unpack('memunplug-dkms', os.path.join(work, 'root'))
        tree = os.path.join(work, 'tree')
        os.makedirs(tree)
        own = ['--dkmstree', tree, '--sourcetree', os.path.join(root, 'usr/src'), 'memunplug/' + version]
        product.run(['dkms', 'add', *own])
        product.run(['dkms', 'build', *own, '-k', kernel.release, '--kernelsourcedir', kernel.build])
        made = sorted(glob.glob(os.path.join(tree, 'memunplug', version, kernel.release, '*', 'module', '*.ko*')))
        names = [os.path.basename(path).partition('.')[0] for path in made]
        if names != ['memunplug', 'memunplug_balloon']:
            raise checks.Failure('dkms build made %s' % names)
        for path in made:
            said = subprocess.run(['/sbin/modinfo', '-F', 'vermagic', path], check=True, capture_output=True,
                                  text=True)
            if said.stdout.split()[:1] != [kernel.release]:
                raise checks.Failure('the module is for ' + said.stdout)
    return ['%s for %s' % (' and '.join(names), kernel.release)]


CHECKS = (
    ('build', 'dpkg-buildpackage, contents', check_build),
    ('lintian', 'no error, no warning', check_lintian),
    ('header', 'memunplug-dev compiles', check_header),
    ('dkms-6.1', 'memunplug-dkms builds', lambda: check_dkms('6.1')),
    ('dkms-6.12', 'memunplug-dkms builds', lambda: check_dkms('6.12')),
)
