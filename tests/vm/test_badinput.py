# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bad input on each interface: the documented error comes back, and the daemon goes on.

import json
import re

from cases import kernels
from scenario import SOCKET, CallError, bus, ctl, states, varlink


def _guest(t):
    t.need_product()

    def prepare(g):
        g.daemon = g.start_daemon()
        g.daemon_pid = varlink_pid(g)
        g.states_before = states(g)
    return t.shared('badinput', prepare, memory='1G', dimms=['512M'], trixie=True, limit=280)


def varlink_pid(g):
    return g.check('pidof memunplugd').split()[-1]


def goes_on(t, g):
    """The same process answers, and no memory was touched."""
    t.equal(varlink_pid(g), g.daemon_pid, 'pid of the daemon')
    t.true(varlink(g, 'GetStatus')['version'], 'no status')
    t.equal(states(g), g.states_before, 'states of the blocks')


VARLINK = (
    ('org.memunplug.NoSuchMethod', {}, 'org.varlink.service.MethodNotFound'),
    ('org.example.Method', {}, 'org.varlink.service.MethodNotFound'),
    ('Unplug', {}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'sizeBytes': -1}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'sizeBytes': 0}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'sizeBytes': '512M'}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'sizeBytes': 1 << 27, 'device': 'PNP0C80:00'}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'blocks': [1, 'x']}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'blocks': []}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'blocks': [4000000]}, 'org.memunplug.NoSuchBlock'),
    ('Unplug', {'device': 'PNP0C80:7f'}, 'org.memunplug.NoSuchDevice'),
    ('Unplug', {'device': '../../etc'}, 'org.varlink.service.InvalidParameter'),
    ('Unplug', {'sizeBytes': 1 << 27, 'force': True}, 'org.varlink.service.InvalidParameter'),
    ('Plan', {'device': 7}, 'org.varlink.service.InvalidParameter'),
    ('Cancel', {'id': 12345}, 'org.memunplug.NoSuchJob'),
    ('Cancel', {}, 'org.varlink.service.InvalidParameter'),
    ('Explain', {'block': 4000000}, 'org.memunplug.NoSuchBlock'),
    ('ListJobs', {'id': 12345}, 'org.memunplug.NoSuchJob'),
    ('Monitor', {}, 'org.varlink.service.ExpectedMore'),
    ('ListBlocks', {}, 'org.varlink.service.ExpectedMore'),
)


@kernels('6.1')
def test_varlink(t):
    """Varlink: wrong methods and arguments get their documented errors, by varlinkctl"""
    g = _guest(t)
    wrong = []
    for method, parameters, error in VARLINK:
        try:
            varlink(g, method, parameters)
            wrong.append('%s %s is accepted' % (method, parameters))
        except CallError as e:
            if e.name != error:
                wrong.append('%s %s: %s, not %s' % (method, parameters, e.name or e, error))
    t.true(not wrong, '\n'.join(wrong))
    goes_on(t, g)


# What is no message at all: the connection may be cut, no other may be.
NOISE = (
    b'\0', b'{}\0', b'[]\0', b'null\0', b'"x"\0', b'{"method":7}\0', b'{"method":"org.memunplug.GetStatus"',
    b'{"method":"org.memunplug.GetStatus","parameters":[]}\0', b'\xff\xfe\0', b'{"method":"\xff"}\0',
    b'{' * 100000 + b'\0', b'[' * 5000 + b'\0', b'{"a":' * 5000 + b'\0', b'x' * (1 << 20),
    b'{"method":"' + b'a' * (1 << 20) + b'"}\0',
    b'{"method":"org.memunplug.Plan","parameters":{"sizeBytes":1e999}}\0',
    b'{"method":"org.memunplug.Plan","parameters":{"sizeBytes":99999999999999999999999}}\0',
    b'{"method":"org.memunplug.Plan","parameters":{"sizeBytes":1.5}}\0',
    b'{"method":"org.memunplug.Plan","parameters":{"sizeBytes":NaN}}\0',
    b'{"method":"org.memunplug.Plan","parameters":{"device":"a\\u0000b"}}\0',
    b'{"method":"org.memunplug.GetStatus","more":"yes"}\0',
    b'{"method":"org.memunplug.GetStatus","upgrade":true}\0',
)


@kernels('6.1')
def test_varlink_noise(t):
    """Varlink: bytes that are no message cost only the connection they came on"""
    g = _guest(t)
    for noise in NOISE:
        r = g.run(['speak', SOCKET], 30, input=noise)
        t.equal(r.rc, 0, 'exit status of speak for %r: %s' % (noise[:60], r.err))
        for reply in r.out.split('\0'):
            t.true(not reply or 'error' in json.loads(reply) or b'GetStatus' in noise,
                   'a good reply to %r: %s' % (noise[:60], reply[:200]))
    goes_on(t, g)


@kernels('6.1')
def test_varlink_whole(t):
    """Varlink: messages byte by byte, many at once, and one way are understood; nothing after a half one"""
    g = _guest(t)
    call = b'{"method":"org.memunplug.GetStatus"}\0'
    r = g.run(['speak', '--slowly', SOCKET], 30, input=call)
    t.true('version' in json.loads(r.out.rstrip('\0'))['parameters'], 'byte by byte: %s' % r.out[:200])
    r = g.run(['speak', SOCKET], 30, input=call * 5)
    t.equal(r.out.count('\0'), 5, 'replies to five calls at once')
    r = g.run(['speak', SOCKET], 30, input=b'{"method":"org.memunplug.GetStatus","oneway":true}\0')
    t.equal(r.out, '', 'reply to a call that wants none')
    r = g.run(['speak', SOCKET], 30, input=call[:-5])
    t.equal(r.out, '', 'reply to half a call')
    goes_on(t, g)


@kernels('6.1')
def test_varlink_many(t):
    """Varlink: more connections than are allowed are turned away; others are served"""
    g = _guest(t)
    crowd = [g.spawn(['setpriv', '--reuid=user', '--regid=user', '--clear-groups', 'speak', '--keep-open', SOCKET],
                     stdin=True) for _ in range(40)]
    t.true(varlink(g, 'GetStatus')['version'], 'no status for root')
    for process in crowd:
        process.signal(9)
    for process in crowd:
        process.wait(20)
    goes_on(t, g)


BUS = (
    (('Unplug', 'tatsa{sv}', 0, 0, '', 0), 'missing, not valid'),
    (('Unplug', 'tatsa{sv}', 1 << 27, 1, 33, '', 0), 'not valid, or one too many'),
    (('Unplug', 'tatsa{sv}', 0, 1, 4000000, '', 0), 'No memory block'),
    (('Unplug', 'tatsa{sv}', 0, 0, 'PNP0C80:7f', 0), 'No memory device'),
    (('Unplug', 'tatsa{sv}', 1 << 27, 0, '', 1, 'force', 'b', 'true'), 'Unknown option'),
    (('Unplug', 'tatsa{sv}', 1 << 27, 0, '', 1, 'deadline_usec', 's', 'x'), 'must be of type t'),
    (('Unplug', 's', 'x'), 'nvalid arg|ignature'),
    (('Cancel', 'u', 12345), 'No job'),
    (('Explain', 'u', 4000000), 'No memory block'),
    (('NoSuchMethod',), 'nknown method'),
)


@kernels('6.1')
def test_bus(t):
    """D-Bus: wrong methods and arguments get their documented errors, by busctl"""
    g = _guest(t)
    wrong = []
    for call, pattern in BUS:
        try:
            bus(g, *call)
            wrong.append('%s is accepted' % (call,))
        except CallError as e:
            if not re.search(pattern, str(e)):
                wrong.append('%s: %s, not %s' % (call, e, pattern))
    t.true(not wrong, '\n'.join(wrong))
    goes_on(t, g)


@kernels('6.1')
def test_not_allowed(t):
    """an ordinary user may read, and may change nothing, on either interface"""
    g = _guest(t)
    t.true(varlink(g, 'GetStatus', user='user')['version'], 'no status for a user')
    t.true(bus(g, 'Describe', user='user'), 'no description for a user')
    size = {'sizeBytes': 1 << 27}
    for method, parameters in (('Unplug', size), ('Replug', size), ('Cancel', {'id': 1})):
        try:
            varlink(g, method, parameters, user='user')
            t.fail('%s is allowed by Varlink' % method)
        except CallError as e:
            t.equal(e.name, 'org.varlink.service.PermissionDenied', 'error of ' + method)
    size = ('tatsa{sv}', 1 << 27, 0, '', 0)
    for call in (('Unplug', *size), ('Replug', *size), ('Cancel', 'u', 1)):
        try:
            bus(g, *call, user='user')
            t.fail('%s is allowed by D-Bus' % call[0])
        except CallError as e:
            t.true('denied' in str(e).lower() or 'not allowed' in str(e).lower() or 'authoriz' in str(e).lower(),
                   'error of %s: %s' % (call[0], e))
    t.equal(ctl(g, 'unplug', '128M', user='user').rc, 77, "memunplugctl unplug's exit status")
    goes_on(t, g)


CTL = (
    (('unplug', 'nonsense'), 1), (('unplug',), 1), (('frobnicate',), 1), (('unplug', '128M', '256M'), 1),
    (('show', '12345'), 1), (('cancel', '12345'), 1), (('--json=maybe', 'status'), 1), (('plan', '4000000'), 1),
    (('--address=/run/nobody', 'status'), 69), (('unplug', '64G'), 1),
)


@kernels('6.1')
def test_ctl(t):
    """memunplugctl: wrong usage and refusals have their exit codes and a sentence"""
    g = _guest(t)
    wrong = []
    for arguments, status in CTL:
        r = ctl(g, *arguments)
        if r.rc != status:
            wrong.append('%s: exit status %d, not %d: %s' % (' '.join(arguments), r.rc, status, r.err.strip()))
        elif not r.err.strip():
            wrong.append('%s: says nothing on stderr' % ' '.join(arguments))
    t.true(not wrong, '\n'.join(wrong))
    goes_on(t, g)
