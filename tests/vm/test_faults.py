# SPDX-License-Identifier: GPL-2.0-or-later
#
# What happens to a service in its life, in the middle of a job: it is stopped, the disk
# or swap is full, memory is plugged, processors go, the machine sleeps, stands still or is reset,
# the clock jumps. After each: the job has ended as it should, nothing is isolated, nothing
# is lost. Kills are in test_daemon.py and test_endurance.py, the bus is in test_systemd.py.

import signal

import endurance
from scenario import OST_OK, CallError, Eject, Watch, Workload, ctl, job, jobs, varlink

SIZE = '512M'
STATE = '/var/lib/memunplug'


def _lab(t):
    t.need_product()

    def prepare(g):
        g.lab = endurance.Lab(lambda **_: g, dimms=('512M', '512M'), share=10)
    return t.shared('faults', prepare, memory='1536M', dimms=['512M', '512M'],
                    trixie=True, limit=600).lab


def _unplug_and(t, lab, fault):
    """Asks for the second DIMM's memory, in use; when pages move, the fault; then the end: the job's record."""
    g = lab.guest
    fill = Workload(g, g.dimm_range('d2'), share=60, seed=3)
    first, size = (n >> 27 for n in g.dimms()['d2'])
    watch = Watch(g, lab.daemon)
    ident = varlink(g, 'Unplug', {'blocks': list(range(first, first + size))})['job']['id']
    watch.wait_moving(ident)
    fault()
    watch.wait_final(ident)
    watch.end()
    t.equal(fill.end()[1], 0, 'bad pages')
    return job(g, ident)


def _goes_through(t, lab, fault):
    """The job ends well in spite of the fault, and what it took can be brought back."""
    record = _unplug_and(t, lab, fault)
    t.equal((record['state'], record['removedBytes']), ('done', 512 << 20), 'record: %s' % record.get('reason'))
    lab.replug(SIZE)
    lab.whole()


def test_stopped_process(t):
    """in each state of a job the daemon is stopped and continued: the job goes on"""
    lab = _lab(t)
    g = lab.guest
    for state in ('planning', 'evacuating', 'offlining'):
        stopper = endurance.signal_in_state(g, lab.daemon.pid, state, signal.SIGSTOP)
        client = g.spawn(['memunplugctl', 'unplug', SIZE])
        g.check('until grep -q "^State:.T" /proc/%d/status; do usleep 10000; done' % lab.daemon.pid)
        lab.daemon.signal(signal.SIGCONT)
        t.equal(client.wait(120).rc, 0, 'unplug, stopped when %s' % state)
        stopper.wait(60)
        record = jobs(g)[-1]
        t.equal((record['state'], record['removedBytes']), ('done', 512 << 20), 'record: %s' % record.get('reason'))
        lab.replug(SIZE)
    lab.whole()


def test_stopped_machine(t):
    """the hypervisor stops and continues the machine: the job goes on"""
    lab = _lab(t)

    def stop():
        since = lab.guest.mark()
        lab.guest.qmp('stop')
        lab.guest.wait_event('STOP', 10, since)
        lab.guest.qmp('cont')
    _goes_through(t, lab, stop)


def test_clock(t):
    """the clock jumps a day ahead and back: no deadline is missed by it"""
    lab = _lab(t)
    _goes_through(t, lab, lambda: lab.guest.check(
        'now=$(date +%s); date -s @$((now + 86400)) >/dev/null; date -s @$((now - 86400)) >/dev/null; '
        'date -s @$now >/dev/null'))


def test_processors(t):
    """a processor goes offline and comes back"""
    lab = _lab(t)
    cpu = '/sys/devices/system/cpu/cpu1/online'
    _goes_through(t, lab, lambda: lab.guest.check(
        'for i in 1 2 3; do echo 0 >%s && echo 1 >%s || exit 1; done' % (cpu, cpu), 60))


def test_suspend(t):
    """the machine tries to sleep: tasks are frozen, devices are suspended, all comes back"""
    lab = _lab(t)
    lab.guest.check('grep -q devices /sys/power/pm_test')
    results = []

    def sleep():
        for level in ('freezer', 'devices'):
            r = lab.guest.run('echo 1 >/sys/module/suspend/parameters/pm_test_delay; '
                              'echo %s >/sys/power/pm_test && echo freeze >/sys/power/state' % level, 90)
            results.append('%s: %s' % (level, 'slept' if r.rc == 0 else r.err.strip().rsplit(': ', 1)[-1]))
    record = _unplug_and(t, lab, sleep)
    t.note('; '.join(results) + '; the job: ' + record['state'])
    t.true(any('slept' in r for r in results), 'the machine never slept: %s' % results)
    if record['state'] == 'done':
        lab.replug(SIZE)
    lab.whole()
    lab.guest.check('echo none >/sys/power/pm_test')


# A file of a small group fills the swap, but for what the group would be killed without.
FILL_SWAP = """modprobe zram && echo 64M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/fill && echo 16M >/sys/fs/cgroup/fill/memory.max
sh -c 'echo $$ >/sys/fs/cgroup/fill/cgroup.procs
while [ $(grep SwapFree /proc/meminfo | tr -dc 0-9) -gt 4096 ]; do
dd if=/dev/urandom bs=2M count=1 >>/dev/shm/swapped 2>/dev/null; done'"""
EMPTY_SWAP = 'rm /dev/shm/swapped; swapoff /dev/zram0; rmdir /sys/fs/cgroup/fill'


def test_swap_full(t):
    """swap is full: the job goes through, nobody is killed for it"""
    lab = _lab(t)
    g = lab.guest
    g.check(FILL_SWAP, 120)
    t.at_most(g.meminfo('SwapFree'), 4 << 20, 'bytes of swap that are free')
    killed = g.vmstat()['oom_kill']
    _goes_through(t, lab, lambda: t.at_most(g.meminfo('SwapFree'), 4 << 20, 'the same in mid-job'))
    t.equal(g.vmstat()['oom_kill'], killed, 'processes killed for want of memory')
    g.check(EMPTY_SWAP, 60)


def test_hot_add(t):
    """a DIMM is plugged while another's memory moves: it comes online, the job goes on"""
    lab = _lab(t)
    g, names = lab.guest, []
    record = _unplug_and(t, lab, lambda: names.append(g.add_dimm('128M')))
    t.equal(record['state'], 'done', 'record: %s' % record.get('reason'))
    lab.replug(SIZE)
    eject = Eject(g, names[0], measure=False)
    eject.wait_deleted(60)
    eject.wait_answer(OST_OK)
    lab.whole()


def test_uevent_storm(t):
    """4 000 events about blocks come in: the job goes on"""
    lab = _lab(t)
    _goes_through(t, lab, lambda: lab.guest.check(
        'i=0; while [ $i -lt 4000 ]; do echo change >/sys/devices/system/memory/memory0/uevent; i=$((i + 1)); done',
        120))


def test_disk_full(t):
    """without room for the record of jobs nothing is touched and the answer says so; with room it works again"""
    lab = _lab(t)
    g = lab.guest
    lab.daemon.signal(signal.SIGTERM)
    t.equal(lab.daemon.wait(60).rc, 0, 'exit status of the daemon')
    g.check('mount -t tmpfs -o size=64k,mode=700,uid=$(id -u memunplug),gid=$(id -g memunplug) none ' + STATE)
    lab.restart()
    fill = 'dd if=/dev/zero of=%s/filler bs=4k 2>/dev/null; echo' % STATE
    g.check(fill)
    moved = g.vmstat()['pgmigrate_success']
    try:
        varlink(g, 'Unplug', {'sizeBytes': 512 << 20})
    except CallError as error:
        t.note('%s: %s', error.name, error.parameters or str(error))
    else:
        t.fail('memory is taken without a record of it')
    t.equal(g.vmstat()['pgmigrate_success'], moved, 'migrations')
    lab.daemon.signal(signal.SIGKILL)           # it starts with a full disk, too
    lab.daemon.wait(20)
    lab.restart()
    t.true(varlink(g, 'GetStatus')['version'], 'it does not answer')
    g.check('rm %s/filler' % STATE)
    r = ctl(g, 'unplug', SIZE, timeout=120)
    t.equal(r.rc, 0, 'unplug with room again: ' + r.err)
    lab.replug(SIZE)
    lab.whole()


def test_corrupt_journal(t):
    """a record of jobs that is no record is set aside and reported; the service works"""
    lab = _lab(t)
    g = lab.guest
    lab.daemon.signal(signal.SIGKILL)
    lab.daemon.wait(20)
    g.check('dd if=/dev/urandom bs=1k count=40 2>/dev/null >>%s/journal' % STATE)
    lab.restart()
    health = varlink(g, 'GetStatus')['health']
    t.true(any('journal' in text for text in health), 'health: %s' % health)
    t.at_least(int(g.check('stat -c %%s %s/journal.damaged' % STATE)), 40 << 10, 'bytes of what was set aside')
    r = ctl(g, 'unplug', SIZE, timeout=120)
    t.equal(r.rc, 0, 'unplug: ' + r.err)
    lab.replug(SIZE)
    lab.whole()


def test_reset(t):
    """the hypervisor resets the machine in mid-job: after the boot all memory is there, and the DIMM still goes"""
    t.need_product()
    g = t.guest(memory='1G', dimms=['512M'], trixie=True, limit=240, devices=['-action', 'reboot=reset'])
    lab = endurance.Lab(lambda **_: g, share=60)
    watch = Watch(g, lab.daemon)
    eject = Eject(g, 'd1', measure=False)
    watch.wait_moving()
    g.reset()
    t.true(not eject.deleted(), 'the DIMM went with the reset')
    t.equal(g.meminfo('MemTotal'), lab.memory, 'MemTotal after the boot')
    lab = endurance.Lab(lambda **_: g, share=25)
    eject = Eject(g, 'd1', measure=False)
    eject.wait_deleted(60)
    eject.wait_answer(OST_OK)
    t.equal(lab.work.end()[1], 0, 'bad pages')
