# SPDX-License-Identifier: GPL-2.0-or-later
#
# memunplug_balloon.ko: by itself, what the hypervisor asks for and what it gets, as QEMU
# has it, under a workload that checks its memory; then led by the daemon.
#
# BALLOON_ROUNDS (3): to half and back. BALLOON_TARGETS (120): targets without sense.

import json
import os
import random
import signal
import time

import balloon
from balloon import STEP, STORM, Balloon, LeastAvailable, WorkerRuns, storm
from cases import kernels
from channel import GuestTimeout
from machine import GuestError
from scenario import MIB, Eject, Workload, blocks, ctl, ctl_jobs, isolated_blocks, states, wait_all_online

FULL = 1024 * MIB
HALF = FULL // 2
ROUNDS = int(os.environ.get('BALLOON_ROUNDS', '3'))
OWN_USE = 8 * MIB                               # what a test's own processes take and give back between two looks
TARGETS = int(os.environ.get('BALLOON_TARGETS', '120'))


def _guest(t):
    """A guest with a balloon that it may not take back, for several cases; and its end at the host."""
    g = t.shared('balloon', lambda g: Balloon(g, FULL).load(), memory='1G', limit=400 + 20 * ROUNDS + TARGETS,
                 devices=balloon.device(), product=t.bare())
    return g, Balloon(g, FULL)


@kernels('6.1', '6.12')
def test_target(t):
    """to half and back: QEMU's figure is right to the page, its memory falls, contents are right"""
    g, b = _guest(t)
    t.equal(b.driver(), balloon.NAME, 'driver')
    total = g.meminfo('MemTotal')
    floor = '/sys/module/%s/parameters/floor_mib' % balloon.NAME
    g.check('echo 32 >' + floor)                # half of this small guest is more than its own floor allows
    work = Workload(g, size=96 * MIB, share=100, touch=True)
    full = g.host_memory()[0]
    g.reset_host_peak()
    begin = time.monotonic()
    b.settle(HALF)
    seconds = time.monotonic() - begin
    left, peak = g.host_memory()
    t.note('half in %.1f s: QEMU had %d MiB, has %d, at most %d', seconds, full // MIB, left // MIB, peak // MIB)
    t.at_most(left, full - HALF * 3 // 4, "QEMU's memory after it")
    t.equal(total - g.meminfo('MemTotal'), FULL - HALF, 'what the guest lacks')
    for size in (HALF + 4096, HALF - 3 * MIB - 4096, HALF + 100 * MIB):
        b.settle(size)
    b.settle(FULL)
    for _ in range(ROUNDS - 1):
        b.settle(HALF)
        b.settle(FULL)
    t.equal(g.meminfo('MemTotal'), total, "the guest's memory at the end")
    checked, bad = work.end()
    t.at_least(checked, work.pages, 'pages checked')
    t.equal(bad, 0, 'bad pages')
    g.check('echo -1 >' + floor)
    t.true(not any('pages are allocated instead' in line for line in b.log()), 'free memory cannot be taken as it is')


@kernels('6.1', '6.12')
def test_nonsense(t):
    """whatever the hypervisor asks for: the floor holds, nothing is killed, one line each, no busy loop"""
    g, b = _guest(t)
    kills = g.vmstat()['oom_kill']
    watch = LeastAvailable(g)
    runs = WorkerRuns(g)
    b.ask(1)
    b.wait_until(lambda actual: actual < FULL - 300 * MIB, 120, 'less')
    before, said = runs.count(), len(b.log())
    rng = random.Random(5)
    begin = time.monotonic()
    for i in range(TARGETS):
        b.ask(rng.choice((1, 4095, 4096, MIB, FULL, FULL - 1, 2 ** 62, HALF + rng.randrange(-8, 8) * MIB)))
        time.sleep(0.01)
    seconds = time.monotonic() - begin
    said, worked = len(b.log()) - said, runs.count() - before
    t.note('%d targets in %.1f s: the worker ran %d times, %d lines', TARGETS, seconds, worked, said)
    t.at_most(worked, TARGETS * (FULL // STEP), 'runs of the worker: a step of 64 MiB each, and one at its end')
    t.at_most(said, min(TARGETS, 10 * (seconds // 5 + 2)), 'lines: one for each change, and 10 in 5 s')
    b.ask(1)
    lines = _wait_reason(g, b)
    least, margin = watch.end()
    t.note('the least that was available: %.1f MiB, and %.1f MiB beyond the floor; QEMU has %d MiB left', least / MIB,
           margin / MIB, b.actual() // MIB)
    t.at_least(least, 72 * MIB, 'available memory at its least')
    t.at_most(least, balloon.floor(FULL // 2), 'the same')
    t.at_least(margin, -OWN_USE, 'available memory beyond the floor, at its least')
    t.at_most(margin, 2 * OWN_USE, 'the same: it is not asked for in earnest')
    t.equal(g.vmstat()['oom_kill'], kills, 'processes killed')
    had, before = b.actual(), runs.count()
    g.check('sleep 2')
    worked, taken = runs.count() - before, max(had - b.actual(), 0)
    t.note('short for 2 s: the worker ran %d times, took %d KiB that others gave back', worked, taken // 1024)
    t.at_most(worked, 3 + 2 * -(-taken // MIB), 'runs of the worker while it is short, in 2 s: a step takes 1 MiB or more')
    t.at_most(len(b.log()) - len(lines), 1, 'lines while nothing changes')
    _check_storm(t, b, runs)
    b.settle(FULL)


def _check_storm(t, b, runs):
    """Up and down by 4 MiB every 10 ms: a step and the look that ends it for each, and none after the last."""
    b.settle(HALF)
    before = runs.count()
    storm(b, HALF)
    b.settle(HALF)
    worked = runs.count() - before
    t.note('up and down %d times: the worker ran %d times', STORM, worked)
    t.at_least(worked, STORM // 10, 'runs of the worker')
    t.at_most(worked, 3 * STORM, 'runs of the worker')
    before = runs.count()
    b.guest.check('sleep 1')
    t.equal(runs.count(), before, 'runs of the worker once the target is met')


def _wait_reason(g, b):
    """Until the driver's last line says why there is no more: its lines."""
    for _ in range(120):
        lines = b.log()
        if lines and 'more would leave the guest less than its floor' in lines[-1]:
            return lines
        g.check('usleep 250000')
    raise GuestTimeout('no reason is given: %s' % lines[-3:])


@kernels('6.1', '6.12')
def test_stats(t):
    """statistics: the host gets what the guest itself says, again and again"""
    g, b = _guest(t)
    told = 0
    for _ in range(2):
        told, figures = b.statistics(newer_than=told)
        t.equal(figures.get('stat-total-memory'), g.meminfo('MemTotal'), 'total')
        t.at_most(abs(figures['stat-available-memory'] - g.meminfo('MemAvailable')), 32 * MIB, 'available, difference')
        t.at_least(figures['stat-minor-faults'], 1000, 'faults')
    t.at_least(len(figures), 10, 'figures')


@kernels('6.1', '6.12')
def test_binding(t):
    """a device has the driver that the administrator gives it, and each gets back what it gave"""
    g, b = _guest(t)
    total = g.meminfo('MemTotal')
    b.settle(HALF)
    g.check('modprobe ' + balloon.STOCK)
    t.equal(b.driver(), balloon.NAME, 'driver after the stock one is loaded')
    b.bind(balloon.NAME, False)
    t.equal(b.driver(), '', 'driver')
    t.equal(g.meminfo('MemTotal'), total, 'memory after it is unbound')
    b.bind(balloon.STOCK)
    t.equal(b.driver(), balloon.STOCK, 'driver')
    b.bind(balloon.STOCK, False)
    b.bind(balloon.NAME)
    b.wait(HALF)
    g.check('rmmod ' + balloon.STOCK)
    g.check('rmmod ' + balloon.NAME)
    t.equal(g.meminfo('MemTotal'), total, 'memory after the module is gone')
    b.load()
    b.wait(HALF)
    b.settle(FULL)


@kernels('6.1', '6.12')
def test_leader(t):
    """who leads a balloon: refuses as the contract says, takes nothing by itself, goes on alone after it"""
    g, b = _guest(t)
    leader = g.spawn(['leader'])
    leader.wait_line('^leading', 60)
    b.ask(HALF)
    leader.wait_line('^met', 120)
    r = leader.wait(30)
    t.equal((r.rc, r.out), (0, 'leading\nmet\n'), 'the leader')
    b.settle(HALF + 64 * MIB)
    b.settle(FULL)


@kernels('6.1', '6.12')
def test_suspend(t):
    """a suspend gives everything back and takes it again after it"""
    g, b = _guest(t)
    b.settle(HALF)
    g.check('echo 0 >/sys/module/suspend/parameters/pm_test_delay; echo devices >/sys/power/pm_test; '
            'echo freeze >/sys/power/state; echo none >/sys/power/pm_test', 120)
    b.wait(HALF)
    b.settle(FULL)


@kernels('6.1', '6.12')
def test_need(t):
    """where it may: before a process is killed for want of memory, the balloon gives back what it lacks, led or not"""
    t.need_product()
    g = t.guest(memory='512M', dimms=['512M'], limit=400, append='init_on_free=1',
                devices=balloon.device(deflate_on_oom='on', free_page_reporting='on'))
    b = Balloon(g, FULL)
    _check_reporting(t, g, b)
    total = g.meminfo('MemTotal')
    b.settle(HALF)
    t.equal(g.meminfo('MemTotal'), total, 'what counts as memory of the guest')
    work = Workload(g, size=64 * MIB, share=100)
    _fill(t, b, HALF, 128)
    b.settle(FULL)
    g.check('rmmod ' + balloon.NAME)            # or nothing is taken for a minute
    b.load()
    daemon = g.start_daemon()
    b.settle(HALF)
    taken = sum(s == 'offline' for s in states(g).values())
    t.true(0 < taken < HALF // (128 * MIB), 'blocks that the host has, with a rest that is left to pages: %d' % taken)
    _fill(t, b, HALF, 128 + 64)                 # more than there are pages of
    left = sum(s == 'offline' for s in states(g).values())
    t.note('%d blocks were given, %d came back', taken, taken - left)
    t.at_most(left, taken - 1, 'blocks that the host has after it; log: %s' % daemon.err[-2000:])
    t.equal(work.end()[1], 0, 'bad pages')
    b.settle(FULL)
    wait_all_online(g, 30)                      # the hypervisor hears of a block before it is online
    t.true('offline' not in states(g).values(), 'blocks at the end: %s' % states(g))


def _fill(t, b, size, more):
    """A file that needs more MiB than are free, of a guest that was left this size: it gets them."""
    g = b.guest
    free = g.meminfo('MemFree')
    g.check('mount -o remount,size=95%% /dev/shm && dd if=/dev/zero of=/dev/shm/file bs=1M count=%d' %
            (free // MIB + more), 120)
    left = b.wait_until(lambda actual: actual > size + more * MIB // 2, 60, 'more than it was left')
    t.note('%d MiB free, a file of %d MiB more: the guest has %d MiB', free // MIB, more, left // MIB)
    t.equal(g.vmstat()['oom_kill'], 0, 'processes killed')
    g.check('rm /dev/shm/file')


def _check_reporting(t, g, b):
    """What the guest has free QEMU gets without asking; the kernel zeroes what is freed, which fits with that."""
    full = g.host_memory()[0]                   # all of it was zeroed at boot
    b.load()
    left = full
    for _ in range(120):
        left = g.host_memory()[0]
        if left < full - 384 * MIB:
            break
        g.check('usleep 500000')
    t.note('free pages are reported: QEMU had %d MiB, has %d', full // MIB, left // MIB)
    t.at_most(left, full - 384 * MIB, "QEMU's memory after free pages were reported")
    t.equal(b.actual(), FULL, 'what the guest has, as no target was set')
    t.true({balloon.PAGE_POISON, balloon.REPORTING} <= b.negotiated(), 'features: %s' % b.negotiated())
    t.equal(b.poison_value(), 0, 'what free pages are filled with')


@kernels('6.1')
def test_eject(t):
    """a DIMM that the balloon has pages of can be ejected: it gives those back, and room for the others"""
    g = t.guest(memory='768M', dimms=['512M'], limit=300, product=t.bare(), devices=balloon.device(),
                append='page_poison=1')
    b = Balloon(g, 768 * MIB + 512 * MIB)
    b.load()
    t.true(balloon.PAGE_POISON in b.negotiated(), 'features: %s' % b.negotiated())
    t.equal(b.poison_value(), 0xaaaaaaaa, 'what free pages are filled with')
    t.equal(b.actual(), b.full, 'at first')
    b.settle(b.full - 700 * MIB)
    since = g.mark()
    g.qmp('device_del', id='d1')
    g.wait_event('DEVICE_DELETED', 120, since, lambda d: d.get('device') == 'd1')
    b.settle(768 * MIB)
    t.true('pagealloc' not in g.console, 'what came back from the host is taken for good: %s' % g.tail())


def _source(g):
    """What the daemon says of the balloon: its entry in the status."""
    status = json.loads(g.check(['memunplugctl', 'status', '--json=short']))
    return next(s for s in status['sources'] if s['source'] == 'balloon')


@kernels('6.1', '6.12')
def test_blocks(t):
    """led by the daemon: whole blocks go first and come back, also over the death of the daemon"""
    t.need_product()
    full, block = 1536 * MIB, 128 * MIB
    g = t.guest(memory='1G', dimms=['512M'], limit=300, devices=balloon.device())
    b = Balloon(g, full)
    b.load()
    before = blocks(g)
    first = int(g.dimm_range('d1').split('-')[0], 16)
    work = Workload(g, '%#x-%#x' % (first, first + block), share=10, seed=3)
    daemon = g.start_daemon()
    t.equal(_source(g), {'source': 'balloon', 'active': True}, 'the source')
    b.settle(full - 2 * block - 5 * MIB)
    offline = {index for index, state in states(g).items() if state == 'offline'}
    t.equal(len(offline), 2, 'blocks offline')
    t.true(first // block not in offline, 'the block in use is taken before free memory')
    # somebody wants one of them back, of a target of which nothing is left to the driver: that would not wait for long
    b.settle(full - 2 * block)
    g.check('echo online_movable >/sys/devices/system/memory/memory%d/state' % min(offline))
    b.wait(full - 2 * block)
    t.equal(sum(s == 'offline' for s in states(g).values()), 2, 'blocks offline after one was brought back')
    # somebody wants any memory back: that is the balloon's, who would only take it again
    r = ctl(g, 'replug', '128M')
    t.true(r.rc == 1 and 'by name only' in r.err, 'replug of a size: %s' % (r,))
    # in mid-target
    b.ask(full - 3 * block - 300 * MIB)
    daemon.signal(signal.SIGKILL)
    daemon.wait(20)
    b.wait(full - 3 * block - 300 * MIB)
    t.equal(work.verify()[1], 0, 'bad pages')
    daemon = g.start_daemon()
    b.settle(full)
    t.equal(blocks(g), before, 'blocks after all came back')
    _check_led_storm(t, b, daemon)
    b.ask(1)
    reason = _wait_source(g, 'by blocks:')
    t.note('%s', reason)
    t.equal(g.vmstat()['oom_kill'], 0, 'processes killed')
    b.settle(full)
    t.equal(blocks(g), before, 'blocks at the end')
    t.equal(work.end()[1], 0, 'bad pages')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    daemon.signal(signal.SIGTERM)
    daemon.wait(60)
    g.put('/etc/memunplug/memunplugd.conf', '[Sources]\nBalloon=no\n', 0o644)
    g.start_daemon()
    t.equal(_source(g), {'source': 'balloon', 'active': False, 'reason': 'switched off by configuration'}, 'the source')
    b.settle(full - 300 * MIB)
    t.equal(blocks(g), before, 'blocks while the driver is alone')


def _check_led_storm(t, b, daemon):
    """Up and down by 4 MiB around a block and more: the service wakes up a few times for each, and not after the last."""
    size = b.full - 200 * MIB
    b.settle(size)
    before, first = _switches(b.guest, daemon), len(ctl_jobs(b.guest))
    storm(b, size)
    b.settle(size)
    woken = _switches(b.guest, daemon) - before
    t.note('up and down %d times: the service woke up %d times, %d jobs', STORM, woken, len(ctl_jobs(b.guest)) - first)
    t.at_most(woken, 20 * STORM, 'times that the service woke up')
    before = _switches(b.guest, daemon)
    b.guest.check('sleep 1')
    t.at_most(_switches(b.guest, daemon) - before, 5, 'times that it woke up once the target is met')


def _switches(g, daemon):
    """How often the service has slept or was made to wait."""
    return sum(int(line.split()[1]) for line in g.check('cat /proc/%d/status' % daemon.pid).splitlines()
               if 'ctxt_switches' in line)


@kernels('6.1', '6.12')
def test_arbitration(t):
    """a DIMM that there is no room for: the balloon gives back blocks, then pages, holds still, and takes again after it"""
    t.need_product()
    boot, dimm = 640 * MIB, 128 * MIB           # of one block each
    full = boot + 2 * dimm
    g = t.guest(memory='640M', dimms=['128M', '128M'], limit=300, devices=balloon.device())
    b = Balloon(g, full)
    b.load()
    total = g.meminfo('MemTotal')
    work = Workload(g, g.dimm_range('d1'), share=90, seed=5)
    daemon = g.start_daemon()
    b.settle(full - dimm)                       # by the free block, which is d2's
    d2 = int(g.dimm_range('d2').split('-')[0], 16) // dimm
    t.equal([index for index, state in states(g).items() if state == 'offline'], [d2], 'blocks that the host has')
    g.check('mount -o remount,size=95%% /dev/shm && dd if=/dev/zero of=/dev/shm/file bs=1M count=%d' %
            (g.meminfo('MemAvailable') // MIB - 265))
    t.true('the balloon gives back' in _plan(g, 'd1'), 'the plan: %s; log: %s' % (_plan(g, 'd1'), daemon.err[-2000:]))
    t.note('by blocks: %s', _eject(g, 'd1', daemon))
    found = ctl_jobs(g)
    t.true(any((j['source'], j['operation'], j['state']) == ('balloon', 'replug', 'done') for j in found),
           'the block of d2 came back: %s' % found)
    t.at_most(full - dimm - b.actual(), dimm, 'what the host has')
    g.check('rm /dev/shm/file')
    size = full - 2 * dimm
    b.wait(size)                                # the old target, now that there is room

    while 'the balloon gives back' not in _plan(g, 'd2'):
        size -= 32 * MIB                        # less than a block: the driver takes pages, perhaps of d2, too
        b.settle(size)
    t.note('by pages, %d MiB left: %s', size // MIB, _eject(g, 'd2', daemon))
    t.true(not _source(g).get('reason', '').endswith('is done'), 'the source: %s' % _source(g))
    g.link.wait(lambda: total - 2 * dimm - g.meminfo('MemTotal') == boot - b.actual(), 60,
                "QEMU's figure to be what the guest lacks", lambda: 'it has %.2f MiB; %s' % (b.actual() / MIB, _source(g)))
    t.equal(work.end()[1], 0, 'bad pages')
    t.equal(g.vmstat()['oom_kill'], 0, 'processes killed')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')


def _plan(g, dimm):
    """What the daemon says of a plan for a DIMM."""
    return json.loads(g.run(['memunplugctl', 'plan', 'PNP0C80:0%d' % (int(dimm[1:]) - 1), '--json=short']).out).get(
        'reason', '')


def _eject(g, dimm, daemon):
    """The hypervisor takes a DIMM away: a sentence about it."""
    eject = Eject(g, dimm, measure=False)
    try:
        eject.wait_deleted()
    except GuestError as e:
        raise GuestError('%s; log: %s' % (e, daemon.err[-3000:])) from e
    return '%s after %.1f s' % (dimm, eject.seconds)


def _wait_source(g, text, timeout=90):
    """Until the daemon's reason for what the balloon has not got says this: the reason."""
    end = time.monotonic() + timeout
    while text not in (reason := _source(g).get('reason', '')):
        if time.monotonic() > end:
            raise GuestTimeout('the balloon lacks nothing: %s' % reason)
        g.check('usleep 300000')
    return reason
