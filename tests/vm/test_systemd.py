# SPDX-License-Identifier: GPL-2.0-or-later
#
# The product as installed on a Debian 12 system: systemd starts and confines it, udev,
# the bus, polkit and the journal know it. Nothing is started by hand.

import json

import system
from cases import Failure

BUS = 'busctl --json=short call org.memunplug1 /org/memunplug1 org.memunplug1.Manager '
NOBODY = 'setpriv --reuid=65534 --clear-groups '
CAP_DAC_OVERRIDE = 1 << 1
RULE = b'''polkit.addRule(function(action, subject) {
        if (action.id == "org.memunplug1.unplug" && subject.user == "nobody") return polkit.Result.YES; });
'''
ONLINE_RULE = 'cp /usr/share/doc/memunplug*/examples/71-memunplug-online.rules /etc/udev/rules.d/'


def _guest(t):
    t.need_product()
    if system.available():
        t.skip(system.available())
    if 'systemd' in t.broken:
        raise Failure('see above: an earlier case or the start failed')
    if 'systemd' not in t.shared_guests:
        t.broken.add('systemd')
        guest = system.SystemGuest(kernel=t.kernel, product=t.product, log=t.notes.append, memory='1536M',
                                   dimms=['512M', '256M'], limit=600)
        t.shared_guests['systemd'] = guest
        guest.check('systemctl is-system-running --wait || systemctl --failed | grep -q "^0 loaded"', 120)
        t.broken.remove('systemd')
    return t.shared_guests['systemd']


def _show(g, name, unit='memunplugd.service'):
    return g.check('systemctl show -P %s %s' % (name, unit)).strip()


def _status(g):
    return json.loads(json.loads(g.check(BUS + 'Describe'))['data'][0])


def _dimms(g):
    devices = json.loads(json.loads(g.check(BUS + 'ListDevices'))['data'][0])
    return sorted((d for d in devices if d['kind'] == 'acpi_dimm'), key=lambda d: d['firstBlock'])


def test_starts(t):
    """systemd starts the service with its module; nothing fails, and the journal is quiet"""
    g = _guest(t)
    t.equal(_show(g, 'ActiveState'), 'active', 'the service')
    t.equal(_show(g, 'ActiveState', 'memunplugd.socket'), 'active', 'the socket')
    t.equal(_status(g)['engine'], 'kmod', 'engine')
    t.equal(_status(g)['health'], [], 'health')
    t.equal(g.check('systemctl --failed --plain --no-legend').strip(), '', 'failed units')
    t.equal(g.check('journalctl -q -u memunplugd -p notice -o cat --no-pager _COMM=memunplugd').strip(), '', 'journal')
    t.equal(g.check('stat -c "%a %U" /dev/memunplug /run/memunplug/org.memunplug /var/lib/memunplug').split(),
            ['600', 'root', '666', 'root', '700', 'memunplug'], 'modes')
    t.equal(g.check('readlink /run/varlink/registry/org.memunplug').strip(), '/run/memunplug/org.memunplug', 'registry')


def test_confined(t):
    """it is its own user with one capability, and all of /sys but memory is read-only"""
    g = _guest(t)
    pid = _show(g, 'MainPID')
    status = dict(line.split(':\t', 1) for line in g.check('cat /proc/%s/status' % pid).splitlines() if ':\t' in line)
    uid = g.check('id -u memunplug').strip()
    t.equal(set(status['Uid'].split()), {uid}, 'uid')
    for name in ('CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        t.equal(int(status[name], 16), CAP_DAC_OVERRIDE, name)
    t.equal((status['NoNewPrivs'], status['Seccomp']), ('1', '2'), 'no new privileges, seccomp')
    writable = {}
    for line in g.check('cat /proc/%s/mounts' % pid).splitlines():
        _, path, _, options, *_ = line.split()
        writable[path.replace('\\040', ' ')] = 'rw' in options.split(',')
    for path, wanted in (('/', False), ('/sys', False), ('/proc/sys', False), ('/sys/devices/system/memory', True),
                         ('/sys/devices/LNXSYSTM:00', True)):
        t.equal(writable.get(path), wanted, path + ' is writable')


def test_operator(t):
    """a DIMM that a udev rule brought online is removed by the CLI, another by the hypervisor"""
    g = _guest(t)
    since = g.mark()
    first, second = _dimms(g)
    t.equal((first['sizeBytes'], second['sizeBytes']), (512 << 20, 256 << 20), 'devices')
    t.equal(g.run('memunplugctl unplug ' + second['name'], 90).rc, 0, 'memunplugctl unplug')
    g.wait_event('DEVICE_DELETED', 30, since, lambda d: d.get('device') == 'd2')
    g.check(ONLINE_RULE + ' && udevadm control --reload')
    g.check('echo offline >/sys/devices/system/memory/auto_online_blocks')     # as on a machine by default
    name = g.add_dimm('256M')
    g.check('udevadm settle')
    states = g.check('cat /sys/devices/system/memory/memory*/state').split()
    t.equal(set(states), {'online'}, 'states of blocks')
    t.equal(_status(g)['onlineBytes'], len(states) << 27, 'online')
    since = g.mark()
    g.qmp('device_del', id=name)
    g.wait_event('DEVICE_DELETED', 60, since, lambda d: d.get('device') == name)


def test_polkit(t):
    """nobody may look, needs an administrator to change, and may by a rule; the socket is for root"""
    g = _guest(t)
    g.check(NOBODY + BUS + 'Describe')
    unplug = BUS + 'Unplug "tatsa{sv}" 134217728 0 "" 0'
    r = g.run(NOBODY + unplug)
    t.true(r.rc and 'nteractive auth' in r.err, 'without a rule: %s %s' % (r.out, r.err))
    t.equal(g.run(NOBODY + 'memunplugctl unplug 128M').rc, 77, 'by the socket')
    g.put('/etc/polkit-1/rules.d/50-test.rules', RULE, 0o644)
    g.check('systemctl restart polkit.service')
    number = json.loads(g.check(NOBODY + unplug))['data'][0]
    g.check('timeout 40 sh -c "until memunplugctl --json=short show %d | grep -q done; do sleep 0.2; done"'
            % number, 50)
    t.equal(g.run('memunplugctl replug 128M', 60).rc, 0, 'back')


def test_controls(t):
    """reload, log level, the catalog and the configuration work by systemd's own tools"""
    g = _guest(t)
    g.check('systemctl reload memunplugd.service')
    g.check('systemctl service-log-level memunplugd.service debug')
    t.equal(g.check('systemctl service-log-level memunplugd.service').strip(), 'debug', 'log level')
    g.check('systemctl service-log-level memunplugd.service info')
    t.true(g.run(NOBODY + 'busctl set-property org.memunplug1 /org/freedesktop/LogControl1 '
                 'org.freedesktop.LogControl1 LogLevel s debug').rc != 0, 'nobody sets the log level')
    g.check('journalctl --update-catalog')
    t.true('Defined-By: memunplug' in g.check('journalctl -x -u memunplugd -o short --no-pager'), 'catalog')
    t.true('[Policy]' in g.check('systemd-analyze cat-config memunplug/memunplugd.conf'), 'cat-config')


HOOK = b'''#!/bin/sh
[ "$1" != pre ] || systemctl is-active --quiet dbus.service || echo "no bus"
[ "$1" != pre ] || { grep -E "^(CapEff|Uid)" /proc/self/status >&2; grep -o '"block":[0-9]*' | tail -1; exit 1; }
'''


def test_hook(t):
    """a hook runs confined, by script, and its veto reaches CLI, bus client and hypervisor"""
    g = _guest(t)
    uid = g.check('id -u memunplug').strip()
    g.put('/etc/memunplug/hooks.d/50-test', HOOK, 0o755)
    r = g.run('memunplugctl unplug 128M', 60)
    reason = "hook '50-test' refused: Uid:\t%s\t%s\t%s\t%s" % (uid, uid, uid, uid)
    t.equal((r.rc, reason.replace('\t', '?') in r.err), (77, True), 'veto: ' + r.err)
    g.put('/etc/memunplug/hooks.d/50-test', HOOK.replace(b'^(CapEff|Uid)', b'^CapEff'), 0o755)
    since = g.mark()
    g.qmp('device_del', id='d1')
    g.wait_event('ACPI_DEVICE_OST', 30, since, lambda d: d['info']['status'] == 0x80)
    jobs = json.loads(g.check('memunplugctl -j jobs'))
    t.equal((jobs[-1]['source'], jobs[-1]['cause'], jobs[-1]['reason'].replace('?', ' ')),
            ('acpi', 'refused', "hook '50-test' refused: CapEff: 0000000000000000"), 'job')
    g.check('chmod g+w /etc/memunplug/hooks.d/50-test')
    r = g.run('memunplugctl unplug 128M', 60)
    t.equal((r.rc, 'can be written by others' in r.err), (77, True), 'mode: ' + r.err)
    g.check('rm /etc/memunplug/hooks.d/50-test')


def test_stop_in_job(t):
    """stopped in the middle of a job it brings back what it took; socket and bus start it again"""
    g = _guest(t)
    g.check('memunplugctl unplug --no-wait 512M')
    g.check('systemctl stop memunplugd.service', 90)
    t.equal((_show(g, 'Result'), _show(g, 'ExecMainStatus')), ('success', '0'), 'the end')
    states = g.check('cat /sys/devices/system/memory/memory*/state').split()
    jobs = json.loads(g.check(BUS + 'ListJobs'))['data'][0]
    t.equal(_show(g, 'ActiveState'), 'active', 'started by the bus')
    if jobs[-1][2] == 'cancelled':
        t.equal([s for s in states if s != 'online'], [], 'what it took')
    g.check('systemctl stop memunplugd.service', 90)
    g.check('memunplugctl status')
    t.equal(_show(g, 'ActiveState'), 'active', 'started by the socket')


def test_killed(t):
    """killed it is started again and knows its jobs; a restart of the bus does not end it"""
    g = _guest(t)
    before = g.check(BUS + 'ListJobs')
    g.check('systemctl kill -s KILL memunplugd.service')
    g.wait_on_bus(20)
    t.equal(g.check(BUS + 'ListJobs'), before, 'jobs')
    pid = _show(g, 'MainPID')
    g.check('systemctl restart dbus.service')
    g.wait_on_bus(20)
    t.equal(_show(g, 'MainPID'), pid, 'process')


def test_without_module(t):
    """without the module it starts as well, works by sysfs and says so; a DIMM goes all the same"""
    g = _guest(t)
    g.check('systemctl stop memunplugd.service && rmmod memunplug && mv /lib/modules/*/updates/memunplug.ko /tmp', 60)
    g.check('systemctl start memunplugd.service', 60)
    t.equal(_status(g)['engine'], 'sysfs', 'engine')
    t.true(_status(g)['health'], 'it does not say so')
    since = g.mark()
    r = g.run('memunplugctl unplug ' + _dimms(g)[0]['name'], 90)
    t.equal(r.rc, 0, 'memunplugctl unplug: ' + r.err)
    g.wait_event('DEVICE_DELETED', 30, since, lambda d: d.get('device') == 'd1')
