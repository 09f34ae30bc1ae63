# SPDX-License-Identifier: GPL-2.0-or-later
#
# What an administrator configures, on a real kernel: memory that is plugged comes online
# where it can be removed again, and the doctor tells what is wrong with memory that is not.

import json

from scenario import ctl, varlink

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


def test_online_policy(t):
    """plugged DIMMs come online movable up to the ratio, the doctor sees the others, and a movable one goes again"""
    t.need_product()
    g = t.guest(memory='1G', trixie=True, limit=280)
    g.check('echo offline >' + AUTO_ONLINE)
    g.put('/etc/memunplug/memunplugd.conf', CONF, 0o644)
    g.start_daemon()
    first = g.add_dimm('512M')
    t.equal(_zones(g, *_device(g, first)), {'Movable'}, 'zones of the first DIMM')
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
    since = g.mark()
    g.qmp('device_del', id=first)
    g.wait_event('DEVICE_DELETED', 60, since, lambda d: d.get('device') == first)
