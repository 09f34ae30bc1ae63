# SPDX-License-Identifier: GPL-2.0-or-later
#
# What an operator asks for: plan, unplug by size, blocks and device, replug, cancel, and
# how memunplugctl tells it.

import json

from cases import kernels
from scenario import (CallError, FINAL, Watch, Workload, blocks, blocks_of, bus, ctl, isolated_blocks, job, jobs, states,
                      used_pages, varlink)

SIZE = 512 << 20
MOVES_MAX = 1.15                                # one after the other they have 1.3: see BENCHMARKS.md


def _guest(t):
    t.need_product()

    def prepare(g):
        g.start_daemon()
        g.work = Workload(g, g.dimm_range('d1') + ',' + g.dimm_range('d2'), share=15, seed=5)
    return t.shared('operator', prepare, memory='1536M', dimms=['1G', '1G'], trixie=True, limit=280)


def online(g):
    return sum(state == 'online' for state in states(g).values())


@kernels('6.1', '6.12')
def test_status(t):
    """status, blocks and devices tell what sysfs has; the engine is the module"""
    g = _guest(t)
    status = varlink(g, 'GetStatus')
    t.equal(status['engine'], 'kmod', 'engine (%s)' % status.get('engineReason'))
    t.equal(status['blockSizeBytes'], 128 << 20, 'block size')
    t.equal(status['onlineBytes'], online(g) * (128 << 20), 'online bytes')
    t.true(status['removableBytes'] >= 1 << 30, 'removable bytes: %d' % status['removableBytes'])
    t.true({'source': 'acpi', 'active': True} in status['sources'], 'sources: %s' % status['sources'])
    listed = {r['block']['index']: r['block']['state'] for r in varlink(g, 'ListBlocks', more=True)}
    t.equal(listed, states(g), 'blocks')
    devices = [r['device'] for r in varlink(g, 'ListDevices', more=True)]
    dimms = [d for d in devices if d['kind'] == 'acpi_dimm']
    t.equal(sorted(d['firstBlock'] << 27 for d in dimms), sorted(a for a, _ in g.dimms().values()), 'devices')
    t.equal([d['sizeBytes'] for d in dimms], [1 << 30, 1 << 30], 'sizes of devices')
    for verb in ('status', 'blocks', 'devices', 'jobs'):
        r = ctl(g, verb)
        t.equal((r.rc, r.err), (0, ''), 'memunplugctl %s' % verb)
        t.true(r.out.strip() or verb == 'jobs', 'memunplugctl %s says nothing' % verb)
        json.loads(ctl(g, '--json=short', verb).out.split('\n')[0] or '{}')


@kernels('6.1', '6.12')
def test_plan(t):
    """plan says what would go and changes nothing"""
    g = _guest(t)
    before, migrated = blocks(g), g.vmstat()['pgmigrate_success']
    plan = varlink(g, 'Plan', {'sizeBytes': SIZE})
    t.true(plan['feasible'], 'not feasible: %s' % plan.get('reason'))
    t.equal(sum(s['sizeBytes'] for s in plan['steps']), SIZE, 'bytes of the steps')
    t.true(all(s['zone'] == 'Movable' for s in plan['steps']), 'zones of the steps: %s' % plan['steps'])
    indexes = [s['block'] for s in plan['steps']]
    t.equal(len(set(indexes)), 4, 'blocks of the plan')
    too_much = varlink(g, 'Plan', {'sizeBytes': 64 << 30})
    t.true(not too_much['feasible'] and too_much['reason'], '64 GiB are feasible')
    r = ctl(g, 'plan', '512M')
    t.equal(r.rc, 0, "memunplugctl plan's exit status: %s" % r.err)
    bus(g, 'Plan', 'tatsa{sv}', SIZE, 0, '', 0)
    t.equal(blocks(g), before, 'blocks after it')
    t.equal(g.vmstat()['pgmigrate_success'], migrated, 'migrations')
    t.equal(jobs(g), [], 'jobs')


@kernels('6.1', '6.12')
def test_unplug_size(t):
    """unplug 512M takes 512 MiB offline, with the contents moved; replug brings them back"""
    g = _guest(t)
    before, memory = blocks(g), g.meminfo('MemTotal')
    plan = {s['block'] for s in varlink(g, 'Plan', {'sizeBytes': SIZE})['steps']}
    r = ctl(g, 'unplug', '512M', timeout=120)
    t.equal(r.rc, 0, "memunplugctl unplug's exit status: %s%s" % (r.out, r.err))
    gone = {i for i, s in states(g).items() if s == 'offline'}
    t.equal(gone, plan, 'blocks offline, as planned')
    t.equal(memory - g.meminfo('MemTotal'), SIZE, 'memory gone')
    record = jobs(g)[-1]
    t.equal((record['state'], record['source'], record['removedBytes']), ('done', 'operator', SIZE), 'record')
    r = ctl(g, 'replug', '512M', timeout=120)
    t.equal(r.rc, 0, "memunplugctl replug's exit status: %s%s" % (r.out, r.err))
    t.equal(blocks(g), before, 'blocks after replug, with their zones')
    t.equal(g.work.verify()[1], 0, 'bad pages')


@kernels('6.1', '6.12')
def test_every_other_block(t):
    """every other block of two DIMMs: evacuated all at once, each page moves once, hardly one into a block that is to go"""
    g = _guest(t)
    before = blocks(g)
    chosen = [i for dimm in g.dimms() for i in blocks_of(g, dimm)][::2]
    used = used_pages(g, ','.join('%#x-%#x' % (i << 27, (i + 1) << 27) for i in chosen))
    migrated = g.vmstat()['pgmigrate_success']
    record = varlink(g, 'Unplug', {'blocks': chosen}, more=True, timeout=120)[-1]['job']
    migrated = g.vmstat()['pgmigrate_success'] - migrated
    t.equal((record['state'], record['attempts']), ('done', 1), 'the job, its attempts: %s' % record)
    t.equal({states(g)[i] for i in chosen}, {'offline'}, 'states of the blocks')
    t.note('%d blocks apart, %d of their pages used, %d migrations, %.3f for each, %.2f s', len(chosen), used, migrated,
           migrated / used, (record['finishedAt'] - record['startedAt']) / 1e6)
    t.at_most(migrated / used, MOVES_MAX, 'migrations for each used page')
    varlink(g, 'Replug', {'blocks': chosen}, more=True, timeout=120)
    t.equal(blocks(g), before, 'blocks after replug, with their zones')
    t.equal(g.work.verify()[1], 0, 'bad pages')


@kernels('6.1')
def test_unplug_stream(t):
    """Unplug with more tells every state up to the last, by varlinkctl"""
    g = _guest(t)
    last = max(i for i, s in states(g).items() if s == 'online')
    replies = varlink(g, 'Unplug', {'blocks': [last - 1, last]}, more=True, timeout=120)
    seen = [r['job']['state'] for r in replies]
    t.note('states: ' + ' '.join(dict.fromkeys(seen)))
    t.equal(seen[-1], 'done', 'last state')
    t.true('evacuating' in seen or 'offlining' in seen, 'states: %s' % seen)
    t.equal({states(g)[i] for i in (last - 1, last)}, {'offline'}, 'states of the blocks')
    ident, path = bus(g, 'Replug', 'tatsa{sv}', 0, 2, last - 1, last, '', 0)
    t.equal(path, '/org/memunplug1/job/_%d' % ident, 'object path')
    watch = Watch(g)                            # begins with the present state of every job
    if job(g, ident)['state'] not in FINAL:
        watch.wait_final(ident)
    watch.end()
    t.equal(job(g, ident)['state'], 'done', 'state of the replug')
    t.equal({states(g)[i] for i in (last - 1, last)}, {'online'}, 'states of the blocks after it')


@kernels('6.1', '6.12')
def test_cancel(t):
    """cancel in mid-evacuation: it ends cancelled at once, all is as before"""
    g = _guest(t)
    before = blocks(g)
    watch = Watch(g)
    device = next(r['device']['name'] for r in varlink(g, 'ListDevices', more=True)
                  if r['device']['kind'] == 'acpi_dimm')
    # All of a DIMM that is mostly used: moving it takes seconds.
    fill = Workload(g, g.dimm_range('d1'), share=60, seed=9)
    accepted = varlink(g, 'Unplug', {'device': device})['job']
    watch.wait_moving(accepted['id'])
    varlink(g, 'Cancel', {'id': accepted['id']})
    watch.wait_final(accepted['id'])
    watch.end()
    record = job(g, accepted['id'])
    t.note('cancelled after %d of %d MiB', record['evacuatedBytes'] >> 20, record['moveBytes'] >> 20)
    t.equal((record['state'], record['cause'], record['removedBytes']), ('cancelled', 'cancelled', 0), 'record')
    t.equal(blocks(g), before, 'blocks after it')
    t.equal(isolated_blocks(g), 0, 'isolated pageblocks')
    t.equal((fill.end()[1], g.work.verify()[1]), (0, 0), 'bad pages')
    try:
        varlink(g, 'Cancel', {'id': accepted['id']})
    except CallError as error:
        t.equal(error.name, 'org.memunplug.NoSuchJob', 'error of a second cancel')
    else:
        t.fail('a second cancel is accepted')


@kernels('6.1')
def test_unplug_device(t):
    """unplug of a device by name ejects it: the hypervisor sees it go without having asked"""
    g = _guest(t)
    first = g.dimms()['d2'][0] >> 27
    device = next(r['device']['name'] for r in varlink(g, 'ListDevices', more=True)
                  if r['device']['firstBlock'] == first)
    since = g.mark()
    r = ctl(g, 'unplug', device, timeout=120)
    t.equal(r.rc, 0, "memunplugctl unplug's exit status: %s%s" % (r.out, r.err))
    t.true(first not in states(g), 'its blocks are still there')
    t.true('d2' not in g.dimms() or g.wait_event('DEVICE_DELETED', 20, since), 'the hypervisor still has it')
    t.equal(g.work.end()[1], 0, 'bad pages')
