# SPDX-License-Identifier: GPL-2.0-or-later
#
# The runner itself: what the other tests rely on when they believe a guest's answers.

import os
import signal

from cases import kernels
from machine import GuestDied, GuestTimeout


def _guest(t):
    return t.shared('runner', memory='1G', dimms=['512M'], product=t.plain())


@kernels('6.1', '6.12')
def test_commands(t):
    """exit status, output and errors of a command come back as they are"""
    g = _guest(t)
    r = g.run('printf "a\\n\\001b"; echo e >&2; exit 7')
    t.equal((r.rc, r.out, r.err), (7, 'a\n\x01b', 'e\n'), 'result')
    t.equal(g.run('kill -9 $$').rc, 128 + 9, 'status of a killed command')
    t.equal(g.run(['/no/such']).rc, 127, 'status of no command')
    t.note('%s boots in %.1f s', g.kernel.release, g.boot_seconds)


def test_bytes(t):
    """a megabyte goes in and comes out unchanged"""
    g = _guest(t)
    data = bytes(i * 7 % 251 for i in range(1 << 20))
    process = g.spawn(['cat'], stdin=True)
    process.send(data, close=True)
    process.wait(60)
    t.true(bytes(process.stdout) == data, 'the bytes differ')


def test_background(t):
    """commands run beside each other, streams lines, and take signals"""
    g = _guest(t)
    first = g.spawn('trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.1; done')
    first.wait_line('^ready$', 20)
    t.equal(g.run('echo other').out, 'other\n', 'output of the second command')
    first.signal(signal.SIGTERM)
    r = first.wait(20)
    t.equal((r.rc, r.out), (3, 'ready\ngot it\n'), 'result of the first')


def test_notify(t):
    """a command's messages to the service manager reach the host"""
    g = _guest(t)
    process = g.spawn('systemd-notify --ready --status=fine; exec sleep 60', notify=True)
    process.wait_note('READY=1', 20)
    process.signal(signal.SIGKILL)
    t.true('STATUS=fine' in process.notes[0].splitlines(), 'notes: %s' % process.notes)


def test_bounded(t):
    """a wait ends in time, and the guest goes on"""
    g = _guest(t)
    try:
        g.run('sleep 60', timeout=1)
    except GuestTimeout:
        pass
    else:
        t.fail('no timeout')
    t.equal(g.run('echo on').out, 'on\n', 'output after it')


def test_dimm(t):
    """DIMMs come at start and later, and are movable; the kernel takes them out again"""
    g = _guest(t)
    name = g.add_dimm('256M')
    t.equal(g.dimms()[name][1], 256 << 20, 'size of the new DIMM')
    start = g.dimms()[name][0] >> 27
    t.equal(g.check('cat /sys/devices/system/memory/memory%d/valid_zones' % start).split()[0], 'Movable', 'zone')
    since = g.mark()
    g.qmp('device_del', id=name)
    g.wait_event('DEVICE_DELETED', 30, since, lambda d: d.get('device') == name)


def test_death(t):
    """a guest that panics is noticed at once, with its last words, and is gone"""
    g = t.guest(memory='512M', product=t.plain())
    pid = g.process.pid
    try:
        g.run('echo c >/proc/sysrq-trigger', timeout=60)
    except GuestDied as error:
        t.true('sysrq' in str(error).lower(), 'no last words: %s' % error)
    else:
        t.fail('it lives')
    t.true(g.splats(), 'the panic is not seen in the console')
    g.close()
    t.true(not os.path.exists('/proc/%d' % pid), 'QEMU is still there')
    t.guests.remove(g)
