# SPDX-License-Identifier: GPL-2.0-or-later
#
# virtio-mem: the sizes that the daemon shows are those that QEMU itself tells.

from cases import kernels
from scenario import Holder, ctl, varlink

SIZE = 512 << 20


def _host(g):
    """What QEMU says: (requested, plugged, address)."""
    d = next(d['data'] for d in g.qmp('query-memory-devices') if d['type'] == 'virtio-mem')
    return d['requested-size'], d['size'], d['memaddr']


def _request(g, size, plugged):
    """Asks the guest's driver, and waits until the device has that much by the hypervisor's own event."""
    since = g.mark()
    g.qmp('qom-set', {'path': '/machine/peripheral/v1', 'property': 'requested-size', 'value': size})
    g.wait_event('MEMORY_DEVICE_SIZE_CHANGE', 120, since, lambda d: d['size'] == plugged)


def _shown(g):
    found = [r['device'] for r in varlink(g, 'ListDevices', more=True)]
    return [(d.get('requestedBytes'), d.get('pluggedBytes')) for d in found if d['kind'] == 'virtio_mem'], found


@kernels('6.1', '6.12')
def test_sizes(t):
    """a virtio-mem device's requested and plugged size are shown as QEMU has them, also while they differ"""
    t.need_product()
    g = t.guest(memory='1536M', trixie=True, limit=280,
                devices=['-object', 'memory-backend-ram,id=m1,size=%d' % SIZE,
                         '-device', 'virtio-mem-pci,id=v1,memdev=m1,requested-size=0'])
    g.check('modprobe virtio_mem')
    _request(g, SIZE, SIZE)
    address = _host(g)[2]
    holder = Holder(g, '%#x-%#x' % (address, address + SIZE))
    g.start_daemon()
    shown, found = _shown(g)
    t.equal(shown, [(SIZE, SIZE)], 'sizes')
    t.equal(_host(g)[:2], (SIZE, SIZE), "QEMU's")
    t.true(not any('requestedBytes' in d for d in found if d['kind'] != 'virtio_mem'), 'others have none')
    r = ctl(g, 'devices')
    t.true(r.rc == 0 and 'REQUESTED' in r.out and 'PLUGGED' in r.out, 'memunplugctl devices: %s' % r.out)
    # what is held stays plugged while the hypervisor wants all of it
    since = g.mark()
    g.qmp('qom-set', {'path': '/machine/peripheral/v1', 'property': 'requested-size', 'value': 0})
    g.wait_event('MEMORY_DEVICE_SIZE_CHANGE', 120, since, lambda d: d['size'] < SIZE)
    for _ in range(30):                 # the driver goes on meanwhile, and the table may be a second old
        before, (shown, _found), after = _host(g), _shown(g), _host(g)
        if before == after and shown == [after[:2]]:
            break
        g.check('sleep 1')
    t.equal(shown, [after[:2]], 'sizes while pages are held')
    t.equal(shown[0][0], 0, 'requested')
    t.at_least(shown[0][1], holder.pages * 4096, 'plugged')
    t.note('%d pages held: requested 0, plugged %d MiB', holder.pages, shown[0][1] >> 20)
