# SPDX-License-Identifier: GPL-2.0-or-later
#
# What an administrator configures, on a real kernel: memory that is plugged comes online
# where it can be removed again, and the doctor tells what is wrong with memory that is not.

import json
import os

from scenario import (OST_BUSY, OST_DEPENDENCY, OST_PENDING, Eject, Watch, Workload, configure, ctl, jobs, states,
                      varlink)

CONF = b'[Policy]\nOnlinePolicy=movable\nOnlineMovableRatio=1\n'
AUTO_ONLINE = '/sys/devices/system/memory/auto_online_blocks'


def _zones(g, first, n):
    """Zones of blocks of a device, once all of them are online."""
    path = '/sys/devices/system/memory/memory%d/'
    for i in range(first, first + n):
        g.check('timeout 60 sh -c "until grep -q ^online %sstate; do usleep 50000; done"' % (path % i), 70)
    return {g.check('cat %svalid_zones' % (path % i)).strip() for i in range(first, first + n)}


def _device(g, name):
    address, size = g.dimms()[name]
    return address >> 27, size >> 27


def _prepare(g):
    g.check('echo offline >' + AUTO_ONLINE)
    g.put('/etc/memunplug/memunplugd.conf', CONF, 0o644)
    g.daemon = g.start_daemon()
    g.first = g.add_dimm('512M')


def _guest(t):
    t.need_product()
    return t.shared('policy', _prepare, chained=True, memory='1G', dimms=['128M'], trixie=True, limit=280)


def test_online_policy(t):
    """plugged DIMMs come online movable up to the ratio, and the doctor sees the others"""
    g = _guest(t)
    t.equal(_zones(g, *_device(g, g.first)), {'Movable'}, 'zones of the first DIMM')
    second = g.add_dimm('1G')                   # 1.5 GiB would be movable, 1 GiB not
    t.equal(_zones(g, *_device(g, second)), {'Normal'}, 'zones of the second DIMM')
    findings = varlink(g, 'Diagnose')['findings']
    zones = [f for f in findings if f['check'] == 'zone']
    t.equal([(f['severity'], f['value']) for f in zones], [('problem', 'Normal')], 'findings: %s' % findings)
    t.equal(zones[0]['file'], '/sys/devices/system/memory/memory%d/valid_zones' % _device(g, second)[0], 'evidence')
    t.equal(g.check('cat ' + zones[0]['file']).strip(), 'Normal', 'what the evidence says')
    r = ctl(g, 'doctor')
    t.equal((r.rc, 'problem  ' in r.out, r.err), (1, True, ''), 'memunplugctl doctor')
    t.equal(json.loads(ctl(g, 'doctor', '-j').out)['findings'], findings, 'as JSON')


def test_ask(t):
    """with Acpi=ask an eject waits for an operator, who refuses one and confirms the next"""
    g = _guest(t)
    configure(g, g.daemon, CONF + b'[Sources]\nAcpi=ask\n')
    t.true('acpi active, asks an operator' in ctl(g, 'status').out, ctl(g, 'status').out)

    def ask(dimm='d1'):
        before = states(g)
        eject = Eject(g, dimm, measure=False)
        eject.wait_answer(OST_PENDING)
        job = g.link.wait(lambda: [j for j in jobs(g) if j.get('unconfirmed')], 30, 'a job that waits')[0]
        t.equal((job['state'], job['source'], 'memunplugctl confirm %d' % job['id'] in job['reason']),
                ('queued', 'acpi', True), 'the job')
        t.equal((eject.answers()[-1], states(g)), (OST_PENDING, before), 'while it waits')
        return eject, str(job['id'])
    eject, ident = ask()
    t.equal(ctl(g, 'cancel', ident).rc, 0, 'memunplugctl cancel')
    t.equal(eject.wait_final(), OST_BUSY, 'the answer when the operator refuses')
    eject, ident = ask()
    r = ctl(g, 'confirm', ident)
    t.equal((r.rc, r.err), (0, ''), 'memunplugctl confirm')
    eject.wait_deleted(60)
    eject, ident = ask(g.first)                 # which was plugged when the daemon ran already
    t.equal(ctl(g, 'confirm', ident).rc, 0, 'memunplugctl confirm')
    eject.wait_deleted(60)


# ---- memory pressure ----

PRESSURE_CONF = b'[Policy]\nKeepFreeBytes=400M\nPressurePauseSec=3s\n'
GROUP = '/sys/fs/cgroup/stall/'
# Stalls in its own group and takes nothing from others: what it wants is more than it may have at ease.
STALL = 'echo $$ >%scgroup.procs; while :; do dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; done' % GROUP


def _prepare_pressure(g):
    g.check('echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir %s && echo 4M >%smemory.high' % (GROUP, GROUP))
    g.put('/etc/memunplug/memunplugd.conf', PRESSURE_CONF, 0o644)
    g.put('/etc/memunplug/memunplugd.conf.d/10-pressure.conf', b'', 0o644)
    g.daemon = g.start_daemon()
    g.work = Workload(g, g.dimm_range('d1'), share=80)


def _pressure_guest(t):
    t.need_product()
    return t.shared('pressure', _prepare_pressure, memory='2G', dimms=['1G'], trixie=True, limit=600)


def _wait_reason(watch, ident, words):
    """Until a job says this; its state then."""
    return watch.wait(lambda: [j['state'] for j in watch.jobs(ident) if words in j.get('reason', '')],
                      'job %d says "%s"' % (ident, words))[0]


def _press(g):
    """Processes of the guest wait for memory all the time, until _release()."""
    g.spawn(['sh', '-c', STALL])


def _release(g):
    g.check('echo 1 >%scgroup.kill' % GROUP)


def test_give_back(t):
    """a job under memory pressure that lasts pauses in mid-job, gives up and brings back what it took"""
    g = _pressure_guest(t)
    online, killed = states(g), g.vmstat()['oom_kill']
    watch = Watch(g, g.daemon)
    eject = Eject(g, 'd1', measure=False)
    ident = watch.wait_moving()
    _press(g)
    t.true(_wait_reason(watch, ident, 'paused: memory pressure') in ('evacuating', 'offlining'), 'the state meanwhile')
    t.equal(eject.wait_final(), OST_DEPENDENCY, 'answer')
    _release(g)
    t.equal(watch.wait_final(ident), 'failed', 'end')
    reason = watch.jobs(ident)[-1]['reason']
    t.note('job %d: %s', ident, reason)
    t.true(reason.startswith('paused for 3s, then given up: memory pressure'), 'the reason: %s' % reason)
    t.equal(states(g), online, 'blocks after it')
    t.equal(g.vmstat()['oom_kill'], killed, 'processes killed for want of memory')
    watch.end()


def test_go_on(t):
    """a job under memory pressure pauses in mid-job, and goes on to its end when the pressure has fallen"""
    if 'MEMUNPLUG_PRESSURE' not in os.environ:
        t.skip('MEMUNPLUG_PRESSURE is not set')
    g = _pressure_guest(t)
    configure(g, g.daemon, PRESSURE_CONF.replace(b'3s', b'1h') + b'[Unplug]\nDeadlineSec=1h\n')
    g.work.end()
    g.work = Workload(g, g.dimm_range('d1'), share=80)  # what moved out before is in it again: there is enough to do
    killed = g.vmstat()['oom_kill']
    watch = Watch(g, g.daemon)
    eject = Eject(g, 'd1', measure=False)
    ident = watch.wait_moving()
    _press(g)
    t.true(_wait_reason(watch, ident, 'paused: memory pressure') in ('evacuating', 'offlining'), 'the state meanwhile')
    _release(g)
    eject.wait_deleted(300)                     # the kernel's average has to fall first
    t.equal(watch.wait_final(ident), 'done', 'end')
    record = watch.jobs(ident)[-1]
    t.note('job %d: gone %.1f s after it was asked for', ident, eject.seconds)
    t.equal((record['removedBytes'], record.get('reason')), (1 << 30, None), 'what went, and the reason at the end')
    t.equal(g.work.verify()[1], 0, 'wrong pages of the workload')
    t.equal(g.vmstat()['oom_kill'], killed, 'processes killed for want of memory')
    watch.end()
