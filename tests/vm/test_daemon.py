# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon's life: killed in mid-job, ended in mid-job, reloaded, and without the
# module. What it held goes back to the kernel, and nothing stays half done.

import signal

from cases import kernels
from scenario import (Eject, OST_OK, OST_PENDING, Watch, Workload, blocks, ctl, isolated_blocks, job, jobs, states,
                      varlink)


def _in_mid_evacuation(g, dimm, daemon):
    """Asks for a DIMM by the hypervisor and waits until pages move: (eject, job id)."""
    watch = Watch(g, daemon)
    eject = Eject(g, dimm, measure=False)
    return eject, watch.wait_moving()


@kernels('6.1', '6.12')
def test_killed(t):
    """SIGKILL in mid-job: the open request is answered, nothing is isolated or offline, contents are right"""
    t.need_product()
    g = t.guest(memory='1536M', dimms=['1G', '1G'], trixie=True, limit=240)
    daemon = g.start_daemon()
    work = Workload(g, g.dimm_range('d1'), share=60, seed=11)
    before = blocks(g)
    eject, ident = _in_mid_evacuation(g, 'd1', daemon)
    daemon.signal(signal.SIGKILL)
    t.equal(daemon.wait(20).rc, 128 + 9, 'exit status of the daemon')
    final = eject.wait_final(30)
    t.note('the open request was answered with %s', final if final == 'deleted' else hex(final))
    t.true(final not in (OST_OK, 'deleted'), 'the answer is success')
    t.equal(g.run('pidof memunplugd').out.strip(), '', 'processes of the daemon left')
    t.equal(blocks(g), before, 'blocks')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    t.equal(work.verify()[1], 0, 'bad pages')
    # the kernel's own handling is back
    other = Eject(g, 'd2', measure=False)
    t.equal(other.wait_final(120), 'deleted', "the kernel's own answer for the other DIMM")
    t.equal(other.answers()[0], OST_PENDING, "the kernel's first answer")
    # the record is taken up again
    daemon = g.start_daemon()
    record = job(g, ident)
    t.equal((record['state'], record['cause']), ('failed', 'interrupted'), 'record after restart')
    again = Eject(g, 'd1', measure=False)
    final = again.wait_final(120)
    if final != 'deleted':
        t.fail('another request is answered with %#x; log: %s' % (final, daemon.err))
    again.wait_answer(OST_OK)
    t.equal(work.end()[1], 0, 'bad pages at the end')


@kernels('6.1')
def test_terminated(t):
    """SIGTERM in mid-job: the job is ended and answered, the daemon ends with 0, SIGHUP before it is harmless"""
    t.need_product()
    g = t.guest(memory='1536M', dimms=['1G'], trixie=True, limit=240)
    daemon = g.start_daemon()
    daemon.signal(signal.SIGHUP)
    daemon.wait_note('RELOADING=1', 20)
    work = Workload(g, g.dimm_range('d1'), share=60, seed=13)
    before = blocks(g)
    eject, ident = _in_mid_evacuation(g, 'd1', daemon)
    daemon.signal(signal.SIGTERM)
    t.equal(daemon.wait(60).rc, 0, 'exit status of the daemon')
    t.true(eject.wait_final(20) not in (OST_OK, 'deleted'), 'the answer is success')
    t.equal(blocks(g), before, 'blocks')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    g.start_daemon()
    t.equal(job(g, ident)['state'], 'cancelled', 'record after restart')
    t.equal(work.end()[1], 0, 'bad pages')


def _acpi(g):
    return next(s for s in varlink(g, 'GetStatus')['sources'] if s['source'] == 'acpi')


@kernels('6.1', '6.12')
def test_without_module(t):
    """without the module: it works by sysfs, says so, and leaves ejects to the kernel"""
    t.need_product()
    g = t.guest(memory='1536M', dimms=['512M', '512M'], trixie=True, limit=240)
    daemon = g.start_daemon('--device=')
    status = varlink(g, 'GetStatus')
    t.equal(status['engine'], 'sysfs', 'engine')
    t.true(status.get('engineReason') or status['health'], 'it does not say why')
    t.note('engine sysfs: %s; health: %s', status.get('engineReason'), '; '.join(status['health']))
    t.true(not _acpi(g)['active'] and _acpi(g).get('reason'), 'source acpi: %s' % _acpi(g))
    work = Workload(g, g.dimm_range('d1') + ',' + g.dimm_range('d2'), share=20, seed=17)
    before = blocks(g)
    r = ctl(g, 'unplug', '256M', timeout=120)
    t.equal(r.rc, 0, "memunplugctl unplug's exit status: %s%s" % (r.out, r.err))
    t.equal(sum(s == 'offline' for s in states(g).values()), 2, 'blocks offline')
    r = ctl(g, 'replug', '256M', timeout=120)
    t.equal(r.rc, 0, "memunplugctl replug's exit status: %s%s" % (r.out, r.err))
    t.equal(blocks(g), before, 'blocks after replug')
    eject = Eject(g, 'd1', measure=False)
    eject.wait_deleted(60)
    t.equal(len(jobs(g)), 2, 'jobs: the eject was none of ours')
    t.equal(work.end()[1], 0, 'bad pages')
    daemon.signal(signal.SIGTERM)
    t.equal(daemon.wait(30).rc, 0, 'exit status of the daemon')


@kernels('6.1')
def test_module_comes_and_goes(t):
    """the daemon waits for a module that another has; it cannot be taken from it, unloads after it, and the kernel ejects as before"""
    t.need_product()
    g = t.guest(memory='1G', dimms=['512M', '128M'], trixie=True, limit=180)
    g.check('insmod /lib/modules/$(uname -r)/updates/memunplug.ko')
    holder = g.spawn(['kmod_test', 'hold'])
    holder.wait_line('^held')
    daemon = g.start_daemon()
    t.true('another process holds the gate' in _acpi(g).get('reason', ''), 'source acpi: %s' % _acpi(g))
    holder.signal(signal.SIGKILL)
    g.link.wait(lambda: _acpi(g)['active'], 30, 'the source acpi')
    eject = Eject(g, 'd2', measure=False)
    eject.wait_deleted(60)
    t.equal([(j['source'], j['state']) for j in jobs(g)], [('acpi', 'done')], 'jobs')
    t.true(g.run('rmmod memunplug').rc != 0, 'rmmod under a running daemon works')
    daemon.signal(signal.SIGTERM)
    t.equal(daemon.wait(30).rc, 0, 'exit status of the daemon')
    g.check('rmmod memunplug')
    eject = Eject(g, 'd1', measure=False)
    eject.wait_deleted(60)
    t.equal(eject.answers()[0], OST_PENDING, 'first answer')
