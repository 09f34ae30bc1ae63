# SPDX-License-Identifier: GPL-2.0-or-later
#
# virtio-mem: the sizes that the daemon shows are those that QEMU itself tells; a request that the guest's driver
# cannot meet is explained, and met soon after what held it is gone. Left to itself the driver tries again after
# 50 seconds. The cases go on from one another in one guest.

import re
import signal
import time

from cases import kernels
from scenario import BUS, Holder, Watch, Workload, bus_property, ctl, jobs, varlink

SIZE = 512 << 20
PINS = 32                                       # few: the driver tries each piece five times, and that takes it long
CONF = '/etc/memunplug/memunplugd.conf'


def _host(g):
    """What QEMU says: (requested, plugged, address)."""
    d = next(d['data'] for d in g.qmp('query-memory-devices') if d['type'] == 'virtio-mem')
    return d['requested-size'], d['size'], d['memaddr']


def _ask(g, size):
    """The hypervisor wants the device to have this much: when, and the mark of the events from then on."""
    since = g.mark()
    g.qmp('qom-set', {'path': '/machine/peripheral/v1', 'property': 'requested-size', 'value': size})
    return time.monotonic(), since


def _wait_size(g, since, ready, timeout=120):
    """Until the device has a size, by the hypervisor's own event: when that was."""
    return g.wait_event('MEMORY_DEVICE_SIZE_CHANGE', timeout, since, lambda d: ready(d['size']))['monotonic']


def _wait_idle(g):
    """Until the driver has given up: the device keeps its size."""
    last = 0, None
    for _ in range(60):
        size = _host(g)[1]
        last = (last[0] + 1 if size == last[1] else 0), size
        if last[0] == 4:
            return
        g.check('sleep 1')


def _plug(g):
    _wait_size(g, _ask(g, SIZE)[1], lambda size: size == SIZE)


def _shown(g):
    """The device as the daemon shows it."""
    return next(r['device'] for r in varlink(g, 'ListDevices', more=True) if r['device']['kind'] == 'virtio_mem')


def _source(g):
    return next(s for s in varlink(g, 'GetStatus')['sources'] if s['source'] == 'virtio_mem')


def _jobs(g):
    return [j for j in jobs(g) if j['source'] == 'virtio_mem']


def _guest(t):
    t.need_product()

    def prepare(g):
        g.check('modprobe virtio_mem')
        _plug(g)
        address = _host(g)[2]
        g.ranges = '%#x-%#x' % (address, address + SIZE)
        g.daemon = g.start_daemon()
    return t.shared('virtio-mem', prepare, chained=True, memory='1536M', trixie=True, limit=280,
                    devices=['-object', 'memory-backend-ram,id=m1,size=%d' % SIZE,
                             '-device', 'virtio-mem-pci,id=v1,memdev=m1,requested-size=0'])


@kernels('6.1', '6.12')
def test_sizes(t):
    """a virtio-mem device's requested and plugged size are shown as QEMU has them"""
    g = _guest(t)
    device = _shown(g)
    t.equal((device['requestedBytes'], device['pluggedBytes']), (SIZE, SIZE), 'sizes')
    t.equal(_host(g)[:2], (SIZE, SIZE), "QEMU's")
    found = [r['device'] for r in varlink(g, 'ListDevices', more=True)]
    t.true(not any('requestedBytes' in d for d in found if d['kind'] != 'virtio_mem'), 'others have none')
    t.equal(_source(g)['active'], True, 'the source')
    r = ctl(g, 'devices')
    t.true(r.rc == 0 and 'REQUESTED' in r.out and 'PLUGGED' in r.out, 'memunplugctl devices: %s' % r.out)


def _told(watch, text):
    """When an event of health has first said this: (time, line), or None."""
    return next(((when, line) for when, r in watch.replies if r.get('event') == 'health'
                 for line in r['health'] if text in line and 'because' in line), None)


@kernels('6.1', '6.12')
def test_shortfall(t):
    """a request that held pages stand against is explained at once: sizes, class, block and who has them"""
    g = _guest(t)
    g.work = Workload(g, g.ranges, share=10, seed=23)
    g.holder = Holder(g, g.ranges, pages=PINS)
    watch = Watch(g, g.daemon)
    begin = time.monotonic()
    _shown(g)
    g.call = time.monotonic() - begin           # a look at all memory and a client, on this host at this moment
    asked, since = _ask(g, 0)
    told = watch.wait(lambda: _told(watch, 'requested 0B'), 'an explanation')
    seconds, reason = told[0] - asked, told[1]
    t.note('explained after %.2f s (a call takes %.2f s): %s', seconds, g.call, reason)
    t.true(re.match(r'virtio\d+: requested 0B, plugged .*, because .* pinned', reason), 'reason: %s' % reason)
    t.at_most(seconds, 1 + 10 * g.call, 'seconds to the explanation')    # calls are slow on a busy host
    t.true(', because ' in _shown(g).get('reason', ''), 'the reason in the list: %s' % _shown(g))
    t.true(any('requested 0B' in h for h in bus_property(g, BUS[1], BUS[2], 'Health')), 'the reason on the bus')
    g.link.wait(lambda: any('because' in r['device'].get('reason', '') for _, r in watch.replies
                            if r.get('event') == 'device'), 30, 'an event of the device')
    watch.end()
    _wait_size(g, since, lambda size: size < SIZE)

    def named():
        health = [h for h in varlink(g, 'GetStatus')['health'] if 'requested 0B' in h]
        return [h for h in health if 'pid %d' % g.holder.pid in h]
    g.link.wait(named, 30, "the holder's name in health", lambda: 'log: %s; owners: %s' % (
        g.daemon.err[-2000:], g.run('cat /run/owners.log').out))
    t.note(named()[0])
    for _ in range(30):                         # the driver goes on meanwhile, and the table may be a second old
        before, device, after = _host(g), _shown(g), _host(g)
        if before == after and (device['requestedBytes'], device['pluggedBytes']) == after[:2]:
            break
        g.check('sleep 1')
    t.equal((device['requestedBytes'], device['pluggedBytes']), after[:2], 'sizes while pages are held')
    t.at_least(device['pluggedBytes'], g.holder.pages * 4096, 'plugged')


@kernels('6.1', '6.12')
def test_helped(t):
    """when the pages are let go, the driver is told, and the request is met in seconds; contents stay"""
    g = _guest(t)
    _wait_idle(g)
    plugged, told = _host(g)[1], g.daemon.err.count('Told the driver')
    since, begin = g.mark(), time.monotonic()
    g.holder.end()
    seconds = _wait_size(g, since, lambda size: size == 0, 100) - begin
    told = g.daemon.err.count('Told the driver') - told
    t.note('%d MiB met %.1f s after the release, told %d times; jobs: %s', plugged >> 20, seconds, told,
           [(j['state'], j['removedBytes'] >> 20, j.get('reason')) for j in _jobs(g)])
    t.at_least(told, 1, 'times that the driver was told')
    t.at_most(seconds, min(30, 5 + 10 * g.call), 'seconds from the release to the last byte')
    t.true(not any('requested 0B' in h for h in varlink(g, 'GetStatus')['health']), 'health')
    t.equal(g.work.end()[1], 0, 'bad pages')


@kernels('6.1')
def test_offline_only(t):
    """a driver that takes only what is offline: a job of source virtio_mem empties the blocks and takes them offline"""
    g = _guest(t)
    parameter = '/sys/module/virtio_mem/parameters/unplug_online'
    g.check('echo N >' + parameter)
    _plug(g)
    work = Workload(g, g.ranges, share=10, seed=29)
    asked, since = _ask(g, 0)
    seconds = _wait_size(g, since, lambda size: size == 0) - asked
    ours = [(j['state'], j['operation'], j['removedBytes'] >> 20, j.get('reason')) for j in _jobs(g)]
    t.note('met after %.1f s; jobs: %s', seconds, ours)
    t.true(ours and ours[-1][:2] == ('done', 'unplug'), 'jobs of virtio_mem: %s; log: %s' % (ours, g.daemon.err[-3000:]))
    t.equal(work.end()[1], 0, 'bad pages')
    g.check('echo Y >' + parameter)


@kernels('6.1')
def test_switched_off(t):
    """with VirtioMem=no nothing is explained nor helped; a reload with yes helps at once"""
    g = _guest(t)
    g.put(CONF, '[Sources]\nVirtioMem=no\n', 0o644)
    g.daemon.signal(signal.SIGHUP)
    g.link.wait(lambda: not _source(g)['active'], 30, 'the source to be off')
    t.true('switched off' in _source(g)['reason'], 'the source: %s' % _source(g))
    before = (len(_jobs(g)), g.daemon.err.count('Told the driver'))
    _plug(g)
    holder = Holder(g, g.ranges, pages=PINS)
    since = _ask(g, 0)[1]
    _wait_size(g, since, lambda size: size < SIZE)
    _wait_idle(g)
    t.true('requested' not in _shown(g).get('reason', ''), 'the device: %s' % _shown(g))
    holder.end()
    g.check('sleep 4')
    left = _host(g)[1]
    t.at_least(left, 1, 'plugged, with nobody to help')
    t.equal((len(_jobs(g)), g.daemon.err.count('Told the driver')), before, 'jobs, and times that the driver was told')
    since, begin = g.mark(), time.monotonic()
    g.put(CONF, '[Sources]\nVirtioMem=yes\n', 0o644)
    g.daemon.signal(signal.SIGHUP)
    seconds = _wait_size(g, since, lambda size: size == 0, 100) - begin
    t.note('%d MiB met %.1f s after the reload', left >> 20, seconds)
    t.at_most(seconds, 30, 'seconds from the reload to the last byte')
