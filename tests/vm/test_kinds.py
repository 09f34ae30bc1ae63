# SPDX-License-Identifier: GPL-2.0-or-later
#
# Pages of every kind that moves in a way of its own, all in the memory of one DIMM: its blocks are emptied and
# taken offline, and each kind is read back. What a kind is, the kernel's own flags say.

import re
import signal
import time

from cases import kernels
from scenario import (Disk, Staller, blocks_of, configure, isolated_blocks, states, used_pages, varlink,
                      workers_in_kernel)

KINDS = ('anon', 'thp', 'mlocked', 'ksm', 'hugetlb', 'tmpfs', 'clean', 'dirty', 'swapcache')
DISKS = '''
set -e; modprobe zram num_devices=2; modprobe crc32c_generic; modprobe ext4
echo 64M >/sys/block/zram0/disksize; mkswap /dev/zram0 >/dev/null; swapon /dev/zram0
echo 128M >/sys/block/zram1/disksize; mke2fs -b 4096 /dev/zram1 >/dev/null 2>&1; mount -t ext4 /dev/zram1 /mnt
echo 0 >/proc/sys/vm/dirty_writeback_centisecs; echo 100000 >/proc/sys/vm/dirty_expire_centisecs
'''


def _guest(t):
    t.need_product()

    def prepare(g):
        g.check(DISKS)
        g.disk = Disk(g, '/run/disk')
        g.add_dimm('256M')
        g.ranges = g.dimm_range('d1')
        g.blocks = blocks_of(g, 'd1')
        g.daemon = g.start_daemon()
    return t.shared('kinds', prepare, memory='1G', trixie=True, limit=600, devices=Disk.ARGUMENTS)


def _unplug(t, g):
    job = varlink(g, 'Unplug', {'blocks': g.blocks}, more=True, timeout=120)[-1]['job']
    t.true(job['state'] == 'done', 'the job: %s; log: %s' % (job, g.daemon.err[-2000:]))
    t.equal({states(g)[b] for b in g.blocks}, {'offline'}, 'states of the blocks')
    return job


def _replug(t, g):
    job = varlink(g, 'Replug', {'blocks': g.blocks}, more=True, timeout=120)[-1]['job']
    t.equal((job['state'], {states(g)[b] for b in g.blocks}), ('done', {'online'}), 'the way back')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')


@kernels('6.1', '6.12')
def test_all(t):
    """huge, merged, locked, swap-cached pages and page cache, clean and dirty: all leave, with their contents"""
    g, made, checked = _guest(t), {}, {}
    process = g.spawn(['kinds', '--range=' + g.ranges, '--files=/mnt'])

    def take(line, _when):
        m = re.match(r'kind (\w+) pages (\d+) inside (\d+) marked (\d+)', line)
        if m:
            made[m[1]] = tuple(map(int, m.groups()[1:]))
        m = re.match(r'kind (\w+) bad (\d+) inside (\d+)', line)
        if m:
            checked[m[1]] = tuple(map(int, m.groups()[1:]))
    process.on_line = take
    process.wait_line('^ready', 120)
    for kind in KINDS:
        t.true(kind in made, 'kinds made: %s' % made)
        pages, inside, marked = made[kind]
        t.at_least(inside, pages // 2, 'pages of kind %s in the DIMM' % kind)
        t.at_least(marked, inside // 2, 'of %d pages in the DIMM, those of kind %s' % (inside, kind))
    used, before = used_pages(g, g.ranges), g.vmstat()
    _unplug(t, g)
    moved = g.vmstat()['pgmigrate_success'] - before['pgmigrate_success']
    t.note('%d pages used, %d migrations (%.3f per used page); in the DIMM and marked: %s', used, moved, moved / used,
           ', '.join('%s %d %d' % (k, *made[k][1:]) for k in KINDS))
    process.signal(signal.SIGUSR1)
    process.wait_line('^checked', 120)
    for kind in KINDS:
        t.equal(checked.get(kind), (0, 0), 'kind %s: bad pages, and pages left in the DIMM' % kind)
    process.signal(signal.SIGTERM)
    t.equal(process.wait(60).rc, 0, 'exit status')
    _replug(t, g)


def _check_file(t, g, path):
    """Pages of a file that were in the cache, KiB that it took to read it all, and microseconds."""
    before = g.vmstat()['pgpgin']
    m = re.match(r'pages \d+ cached (\d+) bad (\d+) usec (\d+)', g.check(['filecache', 'check', path], 60))
    t.equal(int(m[2]), 0, 'wrong pages of ' + path)
    return int(m[1]), g.vmstat()['pgpgin'] - before, int(m[3])


CLEAN, UNSAVED = 16384, 1024                    # pages


def _empty_with_cache(t, g, policy):
    """Empties the DIMM with a clean and a dirty file in it: (pages used, migrations, _check_file() of the clean one)."""
    configure(g, g.daemon, b'[Unplug]\nCleanCache=%s\n' % policy.encode())
    empty = used_pages(g, g.ranges)
    g.check(['filecache', 'sync', '/mnt/saved', '%d' % (CLEAN << 12)], 60)
    g.check(['filecache', 'make', '/mnt/unsaved', '%d' % (UNSAVED << 12)], 60)
    used, before = used_pages(g, g.ranges), g.vmstat()['pgmigrate_success']
    t.at_least(used - empty, CLEAN * 9 // 10, 'pages of the files in the DIMM')
    job = _unplug(t, g)
    moved = g.vmstat()['pgmigrate_success'] - before
    unsaved, saved = _check_file(t, g, '/mnt/unsaved'), _check_file(t, g, '/mnt/saved')
    t.note('CleanCache=%s: %d pages used, %d migrations in %d ms; then %d of %d pages of the file are cached, reading it '
           'takes %.1f MiB from the disk and %d ms', policy, used, moved, (job['finishedAt'] - job['startedAt']) // 1000,
           saved[0], CLEAN, saved[1] / 1024, saved[2] // 1000)
    t.equal(unsaved[0], UNSAVED, 'pages of the file that is not saved, still there')
    _replug(t, g)
    return used, moved, saved


@kernels('6.1', '6.12')
def test_clean_cache(t):
    """clean page cache is given up, or moves with CleanCache=keep; dirty page cache moves in any case"""
    g = _guest(t)
    used, moved, (cached, kib, _) = _empty_with_cache(t, g, 'drop')
    t.at_most(moved, used // 2, 'migrations with drop, of %d pages' % used)
    t.at_most(cached, CLEAN // 4, 'pages of the file that are cached, with drop')
    t.at_least(kib, CLEAN * 3, 'KiB read again, with drop')
    used, moved, (cached, kib, _) = _empty_with_cache(t, g, 'keep')
    t.at_least(moved, used * 9 // 10, 'migrations with keep, of %d pages' % used)
    t.at_most(moved, used * 3, 'migrations with keep, of %d pages in two blocks' % used)
    t.at_least(cached, CLEAN * 99 // 100, 'pages of the file that are cached, with keep')
    t.at_most(kib, CLEAN // 10, 'KiB read again, with keep')


@kernels('6.1')
def test_hwpoison(t):
    """a page that the hardware is said to have lost stops nothing: the blocks go, and come back"""
    g = _guest(t)
    r = g.run(['kinds', '--poison', '--range=' + g.ranges])
    t.equal(r.rc, 0, 'exit status of kinds --poison: ' + r.err)
    address = int(re.match(r'poisoned (0x[0-9a-f]+)', r.out)[1], 16)
    classes = {c['class']: c['bytes'] for c in varlink(g, 'Explain', {'block': address >> 27})['classes']}
    t.equal(classes.get('hwpoison'), 4096, 'classes of the block: %s' % classes)
    _unplug(t, g)
    _replug(t, g)


def _under_io(g):
    """Pages of the blocks that the survey says are under I/O now, by class, as far as they are listed."""
    listed = [p['class'] for b in g.blocks for p in varlink(g, 'Explain', {'block': b})['blockers']]
    return {c: listed.count(c) for c in ('locked', 'writeback') if c in listed}


@kernels('6.1', '6.12')
def test_stalled_disk(t):
    """pages that a disk neither reads nor writes: all others move, no worker waits for them, a report names them"""
    g = _guest(t)
    configure(g, g.daemon, b'[Unplug]\nRetries=1\n')
    g.check(['filecache', 'sync', '/run/disk/read', '%d' % (12 << 20)], 60)
    g.check(['filecache', 'make', '/run/disk/written', '%d' % (12 << 20)], 60)
    others = g.spawn(['workload', '--range=' + g.ranges, '--share=5'])
    others.wait_line('^ready', 120)
    g.disk.stall()
    reader = Staller(g, g.ranges, 'cache', file='/run/disk/read')
    t.at_least(reader.pages, 1024, 'locked pages in the DIMM')
    writer = g.spawn(['sync'])
    g.link.wait(lambda: _under_io(g).get('writeback'), 60, 'pages under writeback')
    used, begin = used_pages(g, g.ranges), time.monotonic()
    job = varlink(g, 'Unplug', {'blocks': g.blocks, 'deadlineUsec': 40000000}, more=True, timeout=120)[-1]['job']
    left, classes = used_pages(g, g.ranges), {b['class'] for b in job['blockers']}
    t.note('%d pages used, %d left after %.1f s, %d attempts: %s (%s), classes %s', used, left, time.monotonic() - begin,
           job['attempts'], job['reason'], job['cause'], classes)
    t.equal((job['state'], job['cause']), ('failed', 'busy'), 'the job')
    t.at_least(job['deadlineAt'] - job['finishedAt'], 1, 'microseconds from the answer to the deadline')
    t.true('locked' in job['reason'] and 'writeback' in job['reason'], 'reason: ' + job['reason'])
    t.true(classes & {'locked', 'writeback'}, 'classes of the pages in the way: %s' % classes)
    t.equal(workers_in_kernel(g), [], 'workers stuck in the kernel')
    t.at_most(left, 2 * (12 << 20 >> 12) + 1024, 'pages left of %d: those of the two files' % used)
    g.disk.stall(False)
    writer.wait(60)
    reader.end()
    _unplug(t, g)                               # now all goes
    others.signal(signal.SIGTERM)
    m = others.wait_line(r'^pages checked (\d+), bad (\d+)', 60)
    t.equal(int(m[2]), 0, 'bad pages')
    for name in ('read', 'written'):
        _check_file(t, g, '/run/disk/' + name)
    _replug(t, g)
    configure(g, g.daemon, b'')
