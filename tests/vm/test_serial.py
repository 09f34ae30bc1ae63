# SPDX-License-Identifier: GPL-2.0-or-later
#
# The hypervisor asks on its own channel: QEMU's chardev socket on this side, the virtio
# serial port on the guest's, and between them the examples of docs/HYPERVISORS.md.

import os
import re
import shutil
import signal
import tempfile

import hostside
from cases import kernels
from scenario import FINAL, Eject, Workload, blocks, configure, varlink

IDLE_SECONDS = 10
STATUS = 'org.memunplug.GetStatus'
LEFT = "Nobody is on the hypervisor's port."


def _boot(t, name='serial', **options):
    """A guest whose port is plugged when the daemon runs already: (guest, host side)."""
    def prepare(g):
        g.host = hostside.Host(os.path.join(g.socket_dir, 'port'))
        g.daemon = g.start_daemon('--log-level=debug')
        hostside.plug_port(g)
        g.link.wait(lambda: 'Serving the hypervisor' in g.daemon.err, 60, 'the port', lambda: g.daemon.err)
    t.need_product()
    if name not in t.shared_guests:
        directory = tempfile.mkdtemp(prefix='memunplug-port-')
        g = t.shared(name, lambda g: setattr(g, 'socket_dir', directory), memory='1G', dimms=['512M'], limit=400,
                     trixie=True, devices=hostside.devices(os.path.join(directory, 'port'), port=False), **options)
        prepare(g)
    g = t.shared(name)
    return g, g.host


def _wakeups(g):
    """How often the daemon has gone to sleep so far."""
    status = g.check('cat /proc/%d/status' % g.daemon.pid)
    return int(re.search(r'^voluntary_ctxt_switches:\s+(\d+)', status, re.M)[1])


def _leave(g, action):
    """Does what ends with nobody on the host's side of the port, and waits until the daemon has seen it."""
    before = g.daemon.err.count(LEFT)
    result = action()
    g.link.wait(lambda: g.daemon.err.count(LEFT) > before, 30, 'the daemon to see that the host left')
    return result


def _idle(t, g, what):
    before = _wakeups(g)
    g.check('sleep %d' % IDLE_SECONDS)
    t.equal(_wakeups(g) - before, 0, 'wakeups in %d s, %s' % (IDLE_SECONDS, what))


def _device_at(host, address):
    """The guest's name for what is plugged at this address, as the page says."""
    size = host.call('GetStatus')['blockSizeBytes']
    found = [r['device']['name'] for r in host.call('ListDevices', more=True)
             if r['device']['firstBlock'] * size == address]
    return found[0]


@kernels('6.1', '6.12')
def test_comes_later(t):
    """a port that is plugged while the daemon runs is served, one that goes is let go, and back again"""
    g, host = _boot(t)
    t.equal(host.call('GetStatus')['hypervisorChannel'], 'vport1p1', 'channel in GetStatus')
    g.qmp('device_del', id='port')
    g.link.wait(lambda: "port 'vport1p1' is closed" in g.daemon.err, 30, 'the port to be closed', lambda: g.daemon.err)
    t.true('hypervisorChannel' not in varlink(g, 'GetStatus'), 'a channel without a port')
    mark = len(g.daemon.err)
    g.wait_event('DEVICE_DELETED', 30, match=lambda d: d.get('device') == 'port')
    _leave(g, lambda: hostside.plug_port(g))
    t.true('Serving the hypervisor' in g.daemon.err[mark:], 'not served again: %s' % g.daemon.err[mark:])
    _idle(t, g, 'nobody has ever connected')
    status = _leave(g, lambda: host.call('GetStatus'))
    t.equal(status['hypervisorChannel'], 'vport1p1', 'channel after a replug')


@kernels('6.1', '6.12')
def test_idle(t):
    """nothing wakes the daemon while nobody is there, while somebody is and says nothing, and after that"""
    g, host = _boot(t)
    _leave(g, lambda: host.call('GetStatus'))
    _idle(t, g, 'nobody connected')
    raw = host.connect()
    _idle(t, g, 'connected, nothing said')
    raw.call(STATUS)
    t.true('version' in raw.take()['parameters'], 'no status')
    _idle(t, g, 'connected, after a call')
    _leave(g, raw.close)
    _idle(t, g, 'disconnected')
    t.note('0 wakeups in %d s each: nobody connected, connected, after a call, left again', IDLE_SECONDS)


@kernels('6.1', '6.12')
def test_garbage(t):
    """what is no call is dropped; the next on the port, and the next after a hang-up, begin anew"""
    g, host = _boot(t)
    raw = host.connect()
    for bad in (b'what\0', b'{"method":1}\0', b'\0', b'\xff' * 100 + b'\0', b'{"method":"a.B","more":3}\0',
                b'x' * 70000 + b'\0'):
        raw.send(bad)
        raw.call(STATUS)
        answer = raw.take(30)
        t.true(answer and 'version' in answer['parameters'], 'answer after %r: %s' % (bad[:20], answer))
    raw.close()
    for half in (b'{"method":"org.memunplug.GetSta', b'{', b'\0{"method'):
        raw = host.connect()
        raw.send(half)
        raw.close()
        t.true('version' in host.call('GetStatus'), 'no status after half a message')
    t.true(g.daemon.status is None, 'the daemon ended')


@kernels('6.1', '6.12')
def test_changes_hands(t):
    """a stream of who has left does not keep the next one waiting, who gets no reply that is not his"""
    g, host = _boot(t)
    for _ in range(10):
        first, second = host.connect(), host.connect()  # the second waits at QEMU's door
        first.call('org.memunplug.Monitor', more=True)
        while first.take()['parameters']['event'] != 'ready':
            pass
        second.call(STATUS)
        first.close()
        answer = second.take()
        t.true(answer and 'version' in answer['parameters'], 'first reply: %s' % answer)
        second.close()


@kernels('6.1')
def test_policy(t):
    """reading only, and not at all, by configuration and reload"""
    g, host = _boot(t)
    unplug = ['varlinkctl', 'call', hostside.PAGE_SOCKET, 'org.memunplug.Unplug', '{"sizeBytes":134217728}']

    def serial(word):
        configure(g, g.daemon, '[Sources]\nVirtioSerial=%s\n' % word)
    serial('read')
    t.true('feasible' in host.call('Plan', {'sizeBytes': 128 << 20}), 'no plan')
    for method in ('Unplug', 'Replug'):
        rc, _, said = host.run([*unplug[:3], 'org.memunplug.' + method, unplug[4]])
        t.true(rc and 'PermissionDenied' in said, '%s with read: %s' % (method, said))
    serial('no')
    t.true('hypervisorChannel' not in varlink(g, 'GetStatus'), 'a channel with no')
    serial('unplug')
    before = blocks(g)
    job = host.call('Unplug', {'sizeBytes': 128 << 20}, more=True)[-1]['job']
    t.equal((job['state'], job['source'], job['caller']), ('done', 'operator', 'hypervisor'), 'job')
    job = host.call('Replug', {'sizeBytes': 128 << 20}, more=True)[-1]['job']
    t.equal((job['state'], job['caller']), ('done', 'hypervisor'), 'job that brings back')
    t.equal(blocks(g), before, 'blocks')


@kernels('6.1', '6.12')
def test_ask_first(t):
    """the page's examples: ask, plan, eject, follow to the end, by the host's own varlinkctl"""
    g, host = _boot(t)
    g.daemon.signal(signal.SIGTERM)
    t.equal(g.daemon.wait(30).rc, 0, 'exit status of the daemon')
    g.daemon = g.start_daemon('--log-level=debug')  # with the port there from the start
    Workload(g, g.dimm_range('d1'), share=30, seed=5)
    rc, replies, said = host.run(hostside.example('GetStatus'))
    t.equal((rc, replies and replies[0]['engine']), (0, 'kmod'), 'status: %s' % said)
    t.equal(_device_at(host, g.dimms()['d1'][0]), 'PNP0C80:00', 'name of d1 in the guest')
    rc, replies, said = host.run(hostside.example('Plan'))
    t.equal((rc, replies and replies[0]['feasible']), (0, True), 'plan: %s' % said)
    planned = replies[0]['moveBytes']
    t.at_least(planned, 100 << 20, 'bytes to move, planned')
    monitor = host.stream(hostside.example('Monitor'))
    monitor.wait(lambda r: r['event'] == 'ready')
    eject = Eject(g, 'd1', measure=False)
    states = []
    while not states or states[-1] not in FINAL:
        job = monitor.wait(lambda r: r['event'] == 'job', 120)['job']
        states.append(job['state'])
    t.equal((job['state'], job['device'], job['source']), ('done', 'PNP0C80:00', 'acpi'), 'the job at its end')
    t.true('evacuating' in states and 'ejecting' in states, 'states on the way: %s' % states)
    eject.wait_deleted(60)
    t.note('planned %d MiB to move; %d progress replies on the host; DEVICE_DELETED after %.1f s', planned >> 20,
           len(states), eject.seconds)
    monitor.end()
    # What the monitor had not read yet may come before the replies: see the page.
    jobs = [r['job'] for r in host.call('ListJobs', more=True) if 'job' in r]
    t.equal(jobs[-1]['state'], 'done', 'job, asked for afterwards')
    shutil.rmtree(g.socket_dir)
