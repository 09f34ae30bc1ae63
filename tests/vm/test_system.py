# SPDX-License-Identifier: GPL-2.0-or-later
#
# Whole Debians, 12 and 13: the packages are installed, and the service does its work for
# the hypervisor. What systemd makes of the units is in test_systemd.py.

import re

import system
from cases import kernels
from scenario import MIB, OST_OK, Eject, Workload, jobs, varlink

EXPOSURE = 1.6


def _guest(t):
    if system.available():
        t.skip(system.available())
    return t.shared('system', lambda g: None, chained=True, make=system.SystemGuest, memory='1536M',
                    dimms=['512M', '512M', '256M'], limit=900)


@kernels('6.1', '6.12')
def test_install(t):
    """dpkg -i ends with a running service that has the module, and systemd is content with all"""
    g = _guest(t)
    t.equal(g.boot_state, 'running', 'the system before')
    t.equal(g.check(['systemctl', 'is-active', 'memunplugd.service', 'memunplugd.socket',
                     'memunplug-owners.socket']).split(), ['active'] * 3, 'units')
    t.equal(varlink(g, 'GetStatus')['engine'], 'kmod', 'engine')
    t.equal(g.check(['systemctl', 'is-system-running']).strip(), 'running', 'the system after')
    t.note('%s', g.check('. /etc/os-release; echo "$PRETTY_NAME, $(uname -r), $(systemctl --version | head -n1)"')
           .strip())


@kernels('6.1', '6.12')
def test_exposure(t):
    """systemd-analyze security: 1.6 or better, beside what else runs there"""
    g = _guest(t)
    table = dict(re.findall(r'^(\S+\.service)\s+(\d+\.\d)', g.check('systemd-analyze security --no-pager'), re.M))
    own = re.search(r'exposure level for \S+: (\d+\.\d)',
                    g.check('systemd-analyze security --no-pager memunplugd.service'))[1]
    t.note('memunplugd %s; %s', own, ', '.join('%s %s' % (n[:-8], v) for n, v in sorted(table.items())
                                               if n.startswith(('systemd-', 'dbus', 'polkit')) and 'ask' not in n))
    t.at_most(float(own), EXPOSURE, 'exposure')


@kernels('6.1', '6.12')
def test_eject(t):
    """device_del of a DIMM in use goes by the installed service; every page of the workload is right"""
    g = _guest(t)
    work = Workload(g, g.dimm_range('d1'), share=25, seed=21)
    eject = Eject(g, 'd1')
    eject.wait_deleted(120)
    eject.wait_answer(OST_OK)
    checked, bad = work.end()
    t.note(eject.figures())
    t.equal(bad, 0, 'bad pages')
    t.at_least(checked, eject.used, 'pages checked')
    record = jobs(g)[-1]
    t.equal((record['state'], record['source'], record['removedBytes']), ('done', 'acpi', 512 * MIB), 'record')
