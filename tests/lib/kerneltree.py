# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module as a part of a kernel tree: kmod/add-to-kernel and its patch, tried on the
# source that Debian ships of each series. Of that source only what one folder's build
# needs is unpacked.

import os
import re
import shutil
import subprocess

import checks
import debian
import product

SCRIPT = os.path.join(checks.TOP, 'kmod', 'add-to-kernel')
PLACE = 'drivers/virt/memunplug'
HEADER = 'include/uapi/linux/memunplug.h'

# What `make drivers/virt/memunplug/` reads, besides every Kconfig and the Makefiles.
FOLDERS = ('scripts/', 'include/', 'arch/x86/', 'drivers/virt/', 'kernel/time/', 'tools/include/', 'tools/arch/x86/',
           'tools/build/', 'tools/scripts/', 'tools/lib/', 'tools/objtool/')
FILES = re.compile(r'(^[^/]+|(^|/)(Kconfig[^/]*|Makefile[^/]*|Kbuild[^/]*)|kernel/bounds\.c)$')

CONFIG = ('64BIT=y', 'ACPI=y', 'PCI=y', 'SMP=y', 'NUMA=y', 'MODULES=y', 'MMU=y', 'SPARSEMEM_MANUAL=y',
          'SPARSEMEM_VMEMMAP=y', 'MEMORY_HOTPLUG=y', 'MEMORY_HOTREMOVE=y', 'MIGRATION=y', 'COMPACTION=y', 'CMA=y',
          'HUGETLBFS=y', 'SWAP=y', 'SHMEM=y', 'MEMORY_FAILURE=y', 'KSM=y', 'TRANSPARENT_HUGEPAGE=y', 'PRINTK=y',
          'BUG=y', 'SYSFS=y', 'PROC_FS=y', 'VIRT_DRIVERS=y', 'FTRACE=y', 'ENABLE_DEFAULT_TRACERS=y',
          'VIRTIO_MENU=y', 'VIRTIO_PCI=y')
OURS = ('MEMUNPLUG', 'MEMUNPLUG_BALLOON')


def _pristine(series):
    """The parts of the source tree that are needed, unchanged: its directory, kept in the cache."""
    try:
        source = debian.source_archive(series)
    except debian.PackageError as error:
        raise checks.Failure(str(error)) from error
    key = '%s-%d' % (series, os.path.getmtime(source))
    target = os.path.join(debian.cache_dir('kernel-tree'), key)
    with debian.Lock('kernel-tree'):
        if not os.path.exists(target):
            debian.unpack_source(series, target, lambda name: name.startswith(FOLDERS) or FILES.search(name))
    return target


def _configure(tree, value):
    with open(os.path.join(tree, 'fragment'), 'w') as f:
        f.write(''.join('CONFIG_%s\n' % line for line in (*CONFIG, *('%s=%s' % (name, value) for name in OURS))))
    product.run(['make', '-s', '-C', tree, 'allnoconfig', 'KCONFIG_ALLCONFIG=fragment'])
    with open(os.path.join(tree, '.config')) as f:
        text = f.read()
    for name in OURS:
        if 'CONFIG_%s=%s\n' % (name, value) not in text:
            raise checks.Failure('%s cannot be %s in this configuration' % (name, value))


def _contents(tree):
    """{name: bytes} of what the module's addition may change."""
    out = {}
    for top in ('drivers/virt', 'include/uapi/linux'):
        for directory, _, names in os.walk(os.path.join(tree, top)):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, 'rb') as f:
                    out[os.path.relpath(path, tree)] = f.read()
    return out


def check_in_tree(series):
    """the drop-in and the patch make the same tree; it builds there with W=1, as a module and built in."""
    for program in ('flex', 'bison', 'patch'):
        if not shutil.which(program):
            raise checks.Skip('no ' + program)
    pristine = _pristine(series)
    tree = os.path.join(debian.cache_dir('kmod'), 'in-tree-' + series)
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(pristine, tree, symlinks=True)
    try:
        text = subprocess.run([SCRIPT, '--patch', tree], check=True, capture_output=True).stdout
        subprocess.run(['patch', '-s', '-p1'], input=text, cwd=tree, check=True)
        patched = _contents(tree)
        for _ in range(2):                      # the second time is an update
            product.run([SCRIPT, tree])
        if _contents(tree) != patched or set(patched) == set(_contents(pristine)):
            raise checks.Failure('add-to-kernel and its patch do not make the same tree')
        for value in 'my':
            _configure(tree, value)
            out = product.run(['make', '-C', tree, '-j2', 'W=1', PLACE + '/'])
            ours = [line for line in out.splitlines() if 'memunplug' in line and re.search('(warning|error):', line)]
            checks.verdict(ours)
        for name in OURS:
            if not os.path.exists(os.path.join(tree, PLACE, name.lower() + '.o')):
                raise checks.Failure('%s was not built' % name)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    return ['%s, patch of %d lines' % (os.path.basename(debian.source_archive(series)), text.count(b'\n'))]
