# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whole Debians, 12 and 13: the packages are installed, and the service does its work for
# the hypervisor. What systemd makes of the units is in test_systemd.py.

import glob
import re
import signal
import time

import autopkgtest
import debian
import rootfs
import system
from cases import kernels
from scenario import (MIB, OST_OK, CallError, Eject, Workload, blocks, blocks_of, isolated_blocks, jobs, varlink,
                      wait_all_online)
from standing import StandingJob

EXPOSURE = 1.6
FOREIGN = 'bolt', 'qemu-guest-agent'            # beside which ours is shown
WATCHDOG = 10                                   # seconds, for the test; the unit has more
SHUTTING_DOWN = 'the system is about to be shut down'
STRIKES = ('KILL', 'SEGV', 'STOP')
RESTART = 45                                    # seconds, in a guest that shares an emulated processor; asked are 2
STATE = ('/var/lib/memunplug', '/run/memunplug', '/etc/memunplug', '/run/varlink/registry/org.memunplug')


def _guest(t):
    if system.available():
        t.skip(system.available())
    return t.shared('system', lambda g: None, chained=True, make=system.SystemGuest, memory='1536M',
                    dimms=['512M', '512M', '256M'], limit=1800)


@kernels('6.1', '6.12')
def test_install(t):
    """dpkg -i ends with a running service that has the module, and systemd is content with all"""
    g = _guest(t)
    t.equal(g.boot_state, 'running', 'the system before')
    t.equal(g.check(['systemctl', 'is-active', 'memunplugd.service', 'memunplugd.socket',
                     'memunplug-owners.socket']).split(), ['active'] * 3, 'units')
    t.equal(varlink(g, 'GetStatus')['engine'], 'kmod', 'engine')
    t.equal(g.check(['systemctl', 'is-system-running']).strip(), 'running', 'the system after')
    status, log = autopkgtest.run(g)
    t.equal((status, re.findall(r'^(\S+) +(PASS|FAIL|SKIP|FLAKY)', log, re.M)), (0, [('smoke', 'PASS')] * 2),
            "what autopkgtest says of the package's own test: " + log[-2000:])
    t.note('%s', g.check('. /etc/os-release; echo "$PRETTY_NAME, $(uname -r), $(systemctl --version | head -n1)"')
           .strip())


def _exposures(g, *units):
    """By the guest's systemd-analyze: {unit: score}."""
    out = g.check(['systemd-analyze', 'security', '--no-pager', *units])
    return {u[:-8]: float(v) for u, v in re.findall(r'exposure level for (\S+): (\d+\.\d)', out)}


def _put_foreign_units(g, series):
    """Units of services of this kind, from their packages for that Debian; the services are not there."""
    archive = debian.archive(rootfs.SUITE[series])
    for package in FOREIGN:
        root = debian.unpack([archive.fetch(package)])
        path = glob.glob(root + '/**/systemd/system/%s.service' % package, recursive=True)[0]
        with open(path, 'rb') as f:
            g.put('/run/systemd/system/%s.service' % package, f.read(), 0o644)
    g.check(['systemctl', 'daemon-reload'])


@kernels('6.1', '6.12')
def test_exposure(t):
    """systemd-analyze security: 1.6 or better, beside what else runs there and others of the kind"""
    g = _guest(t)
    _put_foreign_units(g, t.kernel.series)
    scores = _exposures(g, 'memunplugd.service', 'systemd-hostnamed.service', *(p + '.service' for p in FOREIGN))
    t.note('%s', ', '.join('%s %.1f' % item for item in scores.items()))
    t.equal(len(scores), 2 + len(FOREIGN), 'services that have a score')
    g.check('rm %s && systemctl daemon-reload' % ' '.join('/run/systemd/system/%s.service' % p for p in FOREIGN))
    table = dict(re.findall(r'^(\S+\.service)\s+(\d+\.\d)', g.check('systemd-analyze security --no-pager'), re.M))
    t.note('%s', ', '.join('%s %s' % (n[:-8], v) for n, v in sorted(table.items())
                             if n.startswith(('systemd-', 'dbus', 'polkit')) and 'ask' not in n))
    t.at_most(scores['memunplugd'], EXPOSURE, 'exposure')


@kernels('6.1', '6.12')
def test_eject(t):
    """device_del of a DIMM in use goes by the installed service; every page of the workload is right"""
    g = _guest(t)
    work = Workload(g, g.dimm_range('d1'), share=25, seed=21)
    eject = Eject(g, 'd1')
    eject.wait_deleted(120)
    eject.wait_answer(OST_OK)
    checked, bad = work.end()
    t.note(eject.figures())
    t.equal(bad, 0, 'bad pages')
    t.at_least(checked, eject.used, 'pages checked')
    record = jobs(g)[-1]
    t.equal((record['state'], record['source'], record['removedBytes']), ('done', 'acpi', 512 * MIB), 'record')


# ---- things that happen in mid-job; what takes a minute of dpkg, on one of the two ----

def _whole(t, g, before, what):
    """Nothing is lost or held after it, and the service is at work."""
    wait_all_online(g, 50)
    t.equal(blocks(g), before, 'blocks after ' + what)
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks after ' + what)
    t.equal(g.check('systemctl is-active memunplugd.service').strip(), 'active', 'the service after ' + what)


@kernels('6.1', '6.12')
def test_neighbours(t):
    """bus and udev start again and the module is asked to go in mid-job: the job goes on, then it is cancelled"""
    g = _guest(t)
    before, (pid,) = blocks(g), g.properties('memunplugd.service', 'MainPID')
    job = StandingJob(g, 'd2')
    g.check('systemctl restart dbus.service', 90)
    g.check('systemctl restart systemd-udevd.service && udevadm settle', 90)
    t.true(g.run('rmmod memunplug').rc != 0, 'the module goes in mid-job')
    t.equal(g.properties('memunplugd.service', 'MainPID'), [pid], 'process')
    t.true(job.standing(), 'the job has ended: %s' % job.record())
    g.wait_on_bus(50)
    job.cancel()
    t.equal(job.process.wait(60).rc, 0, "the waiting client's exit status")
    t.equal((job.record()['state'], job.told()), ('cancelled', 'cancelled'), 'record, and what the client heard')
    job.end()
    _whole(t, g, before, 'the neighbours')


GROUP = '/sys/fs/cgroup/system.slice/memunplugd.service/'
QUOTA = 20                                      # percent of one processor
LATE = 10                                       # seconds, when the service itself has no more, and is emulated


def _group(g):
    """What the service and its workers have had of the processors, and how often they had to wait: (usec, times)."""
    stat = dict(line.split() for line in g.check('cat %scpu.stat' % GROUP).splitlines())
    return int(stat['usage_usec']), int(stat.get('nr_throttled', 0))


@kernels('6.1')
def test_cpu_quota(t):
    """CPUQuota= holds for the work in the kernel, too: a job takes its share, another ends at its deadline"""
    g = _guest(t)
    before = blocks(g)
    work = Workload(g, g.dimm_range('d2'), share=4, seed=23)
    g.check('systemctl set-property --runtime memunplugd.service CPUQuota=%d%% CPUQuotaPeriodSec=10ms' % QUOTA)
    chosen = blocks_of(g, 'd2')
    had, waited = _group(g)
    record = varlink(g, 'Unplug', {'blocks': chosen}, more=True, timeout=300)[-1]['job']
    now, times = _group(g)
    share = (now - had) / (record['finishedAt'] - record['startedAt'])
    t.equal(record['state'], 'done', 'the job: %s' % record)
    t.note('%.2f s of processor time in %.1f s, %.0f %%; had to wait %d times', (now - had) / 1e6,
           (record['finishedAt'] - record['startedAt']) / 1e6, 100 * share, times - waited)
    t.at_least(times - waited, 1, 'times that it had to wait')
    t.at_most(share, 2 * QUOTA / 100, 'its share of a processor, which the kernel deals out in pieces')
    varlink(g, 'Replug', {'blocks': chosen}, more=True, timeout=300)
    record = varlink(g, 'Unplug', {'blocks': chosen, 'deadlineUsec': 1000000}, more=True, timeout=300)[-1]['job']
    t.equal((record['state'], record['cause']), ('failed', 'deadline'), 'with a deadline: %s' % record)
    late = (record['finishedAt'] - record['deadlineAt']) / 1e6
    t.note('%.2f s from a deadline to the answer', late)
    t.at_most(late, LATE, 'seconds from the deadline to the answer')
    g.check('systemctl set-property --runtime memunplugd.service CPUQuota= CPUQuotaPeriodSec=')
    t.equal(work.end()[1], 0, 'bad pages')
    _whole(t, g, before, 'a small share')


@kernels('6.12')
def test_upgrade(t):
    """the package is installed again in mid-job: one record, cancelled, the client is told, nothing is lost"""
    g = _guest(t)
    before, count = blocks(g), len(jobs(g))
    job = StandingJob(g, 'd2')
    g.install()
    job.process.wait(60)
    t.equal((job.record()['state'], job.told()), ('cancelled', 'cancelled'), 'record, and what the client heard')
    t.equal(len(jobs(g)), count + 1, 'records')
    job.end()
    _whole(t, g, before, 'the upgrade')


@kernels('6.1')
def test_strikes(t):
    """killed, crashed or stopped in mid-job, the service is started again and calls the job interrupted"""
    g = _guest(t)
    g.put('/etc/systemd/system/memunplugd.service.d/50-test.conf', '[Service]\nWatchdogSec=%d\n' % WATCHDOG, 0o644)
    g.check('systemctl daemon-reload && systemctl restart memunplugd.service', 90)
    before, outages = blocks(g), {}
    for signo in STRIKES:
        job = StandingJob(g, 'd2')
        outages[signo], _ = g.strike(signo)
        t.equal((job.record()['state'], job.record()['cause']), ('failed', 'interrupted'), 'record after ' + signo)
        job.end()
        _whole(t, g, before, signo)
    g.check('rm -r /etc/systemd/system/memunplugd.service.d && systemctl daemon-reload')
    t.note('each job interrupted, nothing lost; ready again after %s',
           ', '.join('%.2f s (%s)' % (seconds, signo) for signo, seconds in outages.items()))
    t.at_most(max(outages['KILL'], outages['SEGV']), RESTART, 'seconds until it was ready again')


@kernels('6.1')
def test_purge(t):
    """purged, the package leaves no file, no unit and no process; installed again it works"""
    g = _guest(t)
    files = [f for f in g.check('dpkg -L memunplugd').splitlines() if not g.run(['test', '-d', f]).rc == 0]
    g.check('dpkg --purge memunplugd', 120)
    left = g.check(['sh', '-c', 'for f; do [ ! -e "$f" ] || echo "$f"; done', 'sh', *files, *STATE]).split()
    t.equal(left, [], 'files left')
    t.equal(g.run('pidof memunplugd').out.strip(), '', 'processes left')
    t.equal(g.check('systemctl --failed --plain --no-legend').strip(), '', 'failed units')
    t.note('%d files gone', len(files))
    g.install()
    t.equal(varlink(g, 'GetStatus')['engine'], 'kmod', 'engine when it is there again')


@kernels('6.12')
def test_poweroff(t):
    """the machine is switched off in mid-job: it is off in time, and the job had ended before"""
    g = _guest(t)
    job = StandingJob(g, 'd2')
    since, begin = g.mark(), time.monotonic()
    g.spawn('systemctl poweroff')
    g.wait_event('SHUTDOWN', 120, since, lambda d: d.get('guest'))
    t.note('off after %.1f s', time.monotonic() - begin)
    t.equal(job.told(), 'cancelled', 'what the waiting client heard')


# A lock of our own makes logind's delay as long as the looking takes; --list names who has locks.
LOGIND_CONF = '/etc/systemd/logind.conf.d/50-test.conf'
LOCK = ['systemd-inhibit', '--what=shutdown', '--mode=delay', '--who=test', '--why=looks', 'sh', '-c',
        'echo held; sleep 600']
POWER_OFF = ['busctl', 'call', 'org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager',
             'PowerOff', 'b', 'false']


def _wait_lock(g, there):
    """Until logind has a lock of the service's, or none."""
    g.check('timeout 50 sh -c "%s systemd-inhibit --list --no-pager | grep -q memunplug; do sleep 0.2; done"'
            % ('until' if there else 'while'), 60)


@kernels('6.1')
def test_logind(t):
    """logind switches the machine off in mid-job: the job ends, its blocks come back, no other starts; then it is off"""
    g = _guest(t)
    g.put(LOGIND_CONF, '[Login]\nInhibitDelayMaxSec=200\n', 0o644)
    g.check('systemctl restart systemd-logind.service', 90)
    lock = g.spawn(LOCK)
    lock.wait_line('^held')
    before = blocks(g)
    _wait_lock(g, False)
    job = StandingJob(g, 'd2')
    _wait_lock(g, True)
    since, begin = g.mark(), time.monotonic()
    g.check(POWER_OFF)
    job.process.wait(60)
    t.equal((job.record()['state'], job.record()['reason'], job.told()), ('cancelled', SHUTTING_DOWN, 'cancelled'),
            'record, and what the waiting client heard')
    wait_all_online(g, 50)
    t.equal(blocks(g), before, 'blocks while the machine goes down')
    _wait_lock(g, False)
    try:
        varlink(g, 'Unplug', {'sizeBytes': 128 * MIB})
    except CallError as error:
        t.true(SHUTTING_DOWN in str(error), 'the refusal: %s' % error)
    else:
        t.fail('a job is accepted while the machine goes down')
    lock.signal(signal.SIGTERM)
    g.wait_event('SHUTDOWN', 120, since, lambda d: d.get('guest'))
    t.note('off after %.1f s', time.monotonic() - begin)
