# SPDX-License-Identifier: GPL-2.0-or-later
#
# Packages of Debian for the guests: fetched by apt, unpacked below the cache,
# never installed. This file owns the private apt states and what is unpacked from
# them; what goes from there into a guest is image.py's business.
#
# The archive's address and its key are taken from the running system's own apt
# configuration, whatever mirror, proxy or snapshot that names; only the suites are
# ours. Each group of suites has its own state, so that a missing suite costs only
# what needs it. Everything is kept in $XDG_CACHE_HOME/memunplug.

import fcntl
import glob
import hashlib
import json
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import time

STALE_SECONDS = 24 * 3600               # package lists older than this are fetched again


class PackageError(Exception):
    pass


def cache_dir(*parts):
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    path = os.path.join(base, 'memunplug', *parts)
    os.makedirs(path, exist_ok=True)
    return path


class Lock:
    """One process at a time fills a part of the cache."""

    def __init__(self, name):
        self.path = os.path.join(cache_dir(), name + '.lock')

    def __enter__(self):
        self.file = open(self.path, 'w')
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        self.file.close()


# ---- the running system's sources ----

def _deb822_stanzas(text):
    for block in re.split(r'\n\s*\n', text):
        fields, name = {}, None
        for line in block.splitlines():
            if line.startswith('#') or not line.strip():
                continue
            if line[0] in ' \t' and name:
                fields[name] += '\n' + line
            elif ':' in line:
                name, value = line.split(':', 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def _one_line_entries(text):
    for line in text.splitlines():
        m = re.match(r'\s*deb\s+(?:\[(?P<opts>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<comps>[^#]*)', line)
        if not m:
            continue
        opts = dict(o.split('=', 1) for o in (m['opts'] or '').split() if '=' in o)
        yield m['uri'], m['suite'], m['comps'].split(), opts.get('signed-by')


def system_sources():
    """All binary package sources of the running system: (uri, suite, components, signed-by)."""
    out = subprocess.run(['apt-config', 'shell', 'LIST', 'Dir::Etc::SourceList/f',
                          'PARTS', 'Dir::Etc::SourceParts/d'],
                         check=True, capture_output=True, text=True).stdout
    conf = dict(item.split('=', 1) for item in shlex.split(out))
    parts = conf.get('PARTS', '/etc/apt/sources.list.d/')
    lists = [conf.get('LIST', '/etc/apt/sources.list')] + sorted(glob.glob(os.path.join(parts, '*.list')))
    sources = []
    for path in lists:
        if os.path.exists(path):
            with open(path) as f:
                sources.extend(_one_line_entries(f.read()))
    for path in sorted(glob.glob(os.path.join(parts, '*.sources'))):
        with open(path) as f:
            text = f.read()
        for s in _deb822_stanzas(text):
            if 'deb' not in s.get('types', '').split() or s.get('enabled', 'yes').lower() == 'no':
                continue
            for uri in s.get('uris', '').split():
                for suite in s.get('suites', '').split():
                    sources.append((uri, suite, s.get('components', '').split(), s.get('signed-by')))
    return sources


def _codename():
    with open('/etc/os-release') as f:
        m = re.search(r'^VERSION_CODENAME=(\w+)', f.read(), re.M)
    return m[1] if m else 'bookworm'


def _find_base(security):
    """Where this system gets Debian (or its security updates) from: (uri, signed-by)."""
    wanted = {_codename(), 'stable'}
    if security:
        wanted = {w + s for w in wanted for s in ('-security', '/updates')}
    for uri, suite, components, key in system_sources():
        if suite in wanted and 'main' in components:
            return uri, key
    raise PackageError('no source of Debian%s among the apt sources of this system'
                       % (' security updates' if security else ''))


# ---- private apt states ----

SUITES = {
    'bookworm': (('bookworm', False), ('bookworm-security', True)),
    'backports': (('bookworm-backports', False),),
    'trixie': (('trixie', False),),
}


class Archive:
    """A private apt state for one group of suites."""

    def __init__(self, name):
        self.name = name
        self.dir = cache_dir('apt', name)
        self.conf = os.path.join(self.dir, 'apt.conf')
        self._stamp = os.path.join(self.dir, 'stamp')
        self.ready = False

    def _write_config(self):
        for sub in ('lists/partial', 'archives/partial', 'parts', 'trusted'):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        stanzas = []
        for suite, security in SUITES[self.name]:
            uri, key = _find_base(security)
            stanza = 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\n' % (uri, suite)
            if key:
                stanza += 'Signed-By: %s\n' % key
            stanzas.append(stanza)
        with open(os.path.join(self.dir, 'parts', 'memunplug.sources'), 'w') as f:
            f.write('\n'.join(stanzas))
        with open(os.path.join(self.dir, 'status'), 'w'):
            pass
        d = self.dir
        with open(self.conf, 'w') as f:
            f.write('\n'.join((
                '#clear APT::Update::Post-Invoke;', '#clear APT::Update::Post-Invoke-Success;',
                'Dir::Etc::SourceList "/dev/null";', 'Dir::Etc::SourceParts "%s/parts";' % d,
                'Dir::State::Lists "%s/lists";' % d, 'Dir::State::Status "%s/status";' % d,
                'Dir::Cache "%s";' % d, 'Dir::Cache::Archives "%s/archives";' % d,
                'APT::Sandbox::User "root";', 'APT::Architecture "amd64";', 'Acquire::Languages "none";',
                'Acquire::Retries "3";', 'Acquire::http::Timeout "60";', '')))

    def _apt(self, *argv, cwd=None):
        env = dict(os.environ, LC_ALL='C.UTF-8', DEBIAN_FRONTEND='noninteractive')
        return subprocess.run([argv[0], '-c', self.conf, '-q', *argv[1:]], cwd=cwd or self.dir, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def update(self):
        r = self._apt('apt-get', 'update')
        # apt-get update answers 0 for some failures; what it then says begins with W: or E:
        if r.returncode or re.search(r'^(E:|W: Failed)', r.stderr, re.M):
            if os.path.exists(self._stamp):
                return                          # off line: what we have may be enough
            raise PackageError('cannot fetch the package lists of %s:\n%s' % (self.name, r.stderr.strip()))
        with open(self._stamp, 'w'):
            pass

    def prepare(self):
        if self.ready:
            return
        self._write_config()
        if not os.path.exists(self._stamp) or time.time() - os.stat(self._stamp).st_mtime > STALE_SECONDS:
            self.update()
        self.ready = True

    def show(self, package):
        """The candidate's control fields, as long as the lists are the same."""
        with Lock('apt-' + self.name):
            self.prepare()
            memo = os.path.join(self.dir, 'shown.json')
            shown = {}
            if os.path.exists(memo) and os.stat(memo).st_mtime >= os.stat(self._stamp).st_mtime:
                with open(memo) as f:
                    shown = json.load(f)
            if package not in shown:
                r = self._apt('apt-cache', 'show', '--no-all-versions', package)
                for fields in _deb822_stanzas(r.stdout):
                    if fields.get('package') == package:
                        shown[package] = fields
                with open(memo + '.new', 'w') as f:
                    json.dump(shown, f)
                os.rename(memo + '.new', memo)
        if package not in shown:
            raise PackageError('no package %s in %s' % (package, self.name))
        return shown[package]

    def depends(self, package):
        """Names of what the candidate depends on, first alternatives only."""
        names = re.split(r',\s*', self.show(package).get('depends', ''))
        return [re.match(r'[a-z0-9.+-]+', n)[0] for n in names if n]

    def fetch(self, package):
        """Path of the candidate's .deb, downloaded and verified by apt if it is not there yet."""
        fields = self.show(package)
        name = os.path.basename(fields['filename'])
        with Lock('apt-' + self.name):
            store = os.path.join(self.dir, 'debs')
            path = os.path.join(store, name)
            if os.path.exists(path):
                return path
            work = os.path.join(self.dir, 'download-%d' % os.getpid())
            os.makedirs(work, exist_ok=True)
            os.makedirs(store, exist_ok=True)
            try:
                r = self._apt('apt-get', 'download', package, cwd=work)
                if r.returncode:                # the archive has moved on since our lists
                    self.update()
                    r = self._apt('apt-get', 'download', package, cwd=work)
                debs = glob.glob(os.path.join(work, '*.deb'))
                if r.returncode or len(debs) != 1:
                    raise PackageError('cannot download %s of %s:\n%s' % (package, self.name, r.stderr.strip()))
                path = os.path.join(store, name if '_' in name else os.path.basename(debs[0]))
                os.rename(debs[0], path)
            finally:
                shutil.rmtree(work)
        return path


_archives = {}


def archive(name):
    return _archives.setdefault(name, Archive(name))


def unpack(debs, finish=None):
    """Unpack some .debs over each other; the directory is kept. finish(dir) once, after unpacking."""
    key = hashlib.sha256('\n'.join(sorted(os.path.basename(d) for d in debs)).encode()).hexdigest()[:12]
    target = os.path.join(cache_dir('root'), os.path.basename(debs[0]).split('_')[0] + '-' + key)
    with Lock('unpack'):
        if os.path.exists(os.path.join(target, '.complete')):
            return target
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        for deb in debs:
            subprocess.run(['dpkg-deb', '-x', deb, target], check=True)
        if finish:
            finish(target)
        with open(os.path.join(target, '.complete'), 'w'):
            pass
    return target


# ---- kernels ----

SERIES = {'6.1': 'bookworm', '6.12': 'backports'}


def source_archive(series):
    """The compressed source of a series, from Debian's package of it: its path."""
    found = glob.glob('/usr/src/linux-source-%s.tar.xz' % series)
    if not found:
        deb = archive(SERIES[series]).fetch('linux-source-' + series)
        found = glob.glob(os.path.join(unpack([deb]), 'usr/src/linux-source-*.tar.xz'))
    return found[0]


def unpack_source(series, target, wanted):
    """The files of a series' source for which wanted(name) is true, in a new folder: all or nothing."""
    work = target + '.new'
    shutil.rmtree(work, ignore_errors=True)
    with tarfile.open(source_archive(series), 'r|xz') as source:
        for member in source:
            member.name = member.name.partition('/')[2]
            if member.name and wanted(member.name):
                source.extract(member, work)
    os.rename(work, target)


class Kernel:
    """A kernel of Debian, unpacked: image, modules, and what modules are built against."""

    arguments = ()                      # of its own, on the command line of guests
    make_arguments = ()                 # for modules of ours

    def __init__(self, series):
        if series not in SERIES:
            raise PackageError('no kernel series %s: choose one of %s' % (series, ', '.join(SERIES)))
        self.series = series
        self.archive = archive(SERIES[series])
        image = [d for d in self.archive.depends('linux-image-amd64') if d.startswith('linux-image-')]
        if not image:
            raise PackageError('linux-image-amd64 of %s names no kernel' % self.archive.name)
        self.package = image[0]
        self.release = self.package[len('linux-image-'):]
        self.root = unpack([self.archive.fetch(self.package)], self._depmod)
        self.image = os.path.join(self.root, 'boot', 'vmlinuz-' + self.release)
        self.modules = os.path.join(self.root, 'lib', 'modules', self.release)
        self._build = None

    def _depmod(self, root):
        subprocess.run(['/sbin/depmod', '-b', root, self.release], check=True)

    @property
    def build(self):
        """The directory to build modules against (make -C), from the header packages."""
        if self._build is None:
            headers = 'linux-headers-' + self.release
            more = [d for d in self.archive.depends(headers)
                    if re.match(r'linux-(headers-.*-common|kbuild-)', d)]
            debs = [self.archive.fetch(p) for p in [headers, *more]]
            root = unpack(debs, _relocate_headers)
            self._build = os.path.join(root, 'usr', 'src', headers)
        return self._build

    def module_files(self, names):
        """Modules and what they need, in the order to load them; built-in ones are left out."""
        depends, path_of = {}, {}
        with open(os.path.join(self.modules, 'modules.dep')) as f:
            for line in f:
                path, rest = line.split(':', 1)
                path_of[_module_name(path)] = path
                depends[path] = rest.split()
        with open(os.path.join(self.modules, 'modules.builtin')) as f:
            builtin = {_module_name(line.strip()) for line in f}
        order = []
        for name in names:
            name = name.replace('-', '_')
            if name in builtin:
                continue
            if name not in path_of:
                raise PackageError('kernel %s has no module %s' % (self.release, name))
            for path in [*reversed(depends[path_of[name]]), path_of[name]]:
                if path not in order:
                    order.append(path)
        return order

    def read_module(self, path):
        """A module's contents, uncompressed."""
        with open(os.path.join(self.modules, path), 'rb') as f:
            data = f.read()
        return lzma.decompress(data) if path.endswith('.xz') else data


def _module_name(path):
    return os.path.basename(path).split('.ko')[0].replace('-', '_')


def _relocate_headers(root):
    """The header packages name each other by absolute paths: let them name this tree."""
    # With this file kbuild adds type information to modules, and needs pahole for it.
    for path in glob.glob(os.path.join(root, 'usr/src/*/vmlinux')):
        os.unlink(path)
    for directory in glob.glob(os.path.join(root, 'usr/src/*')):
        for name in ('Makefile', '.kernelvariables'):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path) as f:
                    text = f.read()
                new = re.sub(r'(?<![\w.])/usr/(src|lib)/linux-', root + r'/usr/\1/linux-', text)
                if new != text:
                    with open(path, 'w') as f:
                        f.write(new)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if os.path.islink(path) and os.readlink(path).startswith('/usr/'):
                target = root + os.readlink(path)
                os.unlink(path)
                os.symlink(target, path)
