# SPDX-License-Identifier: GPL-2.0-or-later
#
# The demonstration: one guest with two DIMMs of 1 GiB, both in use by a workload that
# checks every page; the hypervisor asks for one back. It owns what is shown and in what
# order; the guest and the helpers are those of the tests.

import argparse
import os
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'vm')]

import debian                                                       # noqa: E402
import machine                                                      # noqa: E402
import product                                                      # noqa: E402
import scenario                                                     # noqa: E402

GIB = 1 << 30
BOLD, DIM, PLAIN = ('\033[1m', '\033[2m', '\033[0m') if sys.stdout.isatty() else ('', '', '')


class Unexpected(Exception):
    """The demonstration did not show what it should."""


def say(text=''):
    print(text, flush=True)


def step(text):
    say('\n%s== %s%s' % (BOLD, text, PLAIN))


def command(text):
    say('%sguest# %s%s' % (DIM, text, PLAIN))


def show(text):
    for line in text.rstrip().splitlines():
        say('  ' + line)


def show_command(guest, *argv):
    command(' '.join(argv))
    show(guest.check(list(argv)))


class Events:
    """What happens on both sides, printed as it happens, with the seconds since the request."""

    def __init__(self, guest):
        self.guest, self.begin, self.shown = guest, None, guest.mark()
        self.monitor = guest.spawn(['memunplugctl', 'monitor'])
        self.monitor.on_line = self.guest_line

    def when(self, moment):
        return '%6.2f s' % (moment - self.begin) if self.begin else ' ' * 8

    def guest_line(self, line, moment):
        say('  %s  guest       %s' % (self.when(moment), line))

    def pump_hypervisor(self):
        """Prints new events of the hypervisor; true once the DIMM is deleted and success is told."""
        for event in self.guest.link.events[self.shown:]:
            self.shown += 1
            data = event.get('data', {})
            text = event['event']
            if event['event'] == 'ACPI_DEVICE_OST':
                info = data['info']
                meaning = {0x84: 'in progress', 0: 'success'}.get(info['status'], 'refused')
                text += '  status %#x (%s)' % (info['status'], meaning)
            elif 'device' in data:
                text += '  ' + data['device']
            say('  %s  %shypervisor  %s%s' % (self.when(event['monotonic']), BOLD, text, PLAIN))
            if event['event'] == 'ACPI_DEVICE_OST' and data['info']['status'] not in (0, 0x84):
                raise Unexpected('the guest refused')
        names = [(e['event'], e.get('data', {}).get('info', {}).get('status')) for e in self.guest.link.events]
        return ('DEVICE_DELETED', None) in names and ('ACPI_DEVICE_OST', 0) in names


def build(series):
    step('Building memunplugd, memunplugctl and memunplug.ko for kernel %s' % series)
    begin = time.monotonic()
    kernel = debian.Kernel(series)
    made = product.Product(product.meson())
    product.helpers()
    if not product.kmod(kernel):
        raise Unexpected('there is no kernel module in this tree')
    say('  done in %.0f s' % (time.monotonic() - begin))
    return kernel, made


def boot(kernel, made):
    step("Booting a guest: Debian's kernel %s, 2 GiB, two DIMMs of 1 GiB" % kernel.release)
    guest = machine.Guest(kernel=kernel, memory='2G', dimms=['1G', '1G'], product=made, trixie=True, limit=240)
    say('  up after %.1f s; memunplugd starts' % guest.boot_seconds)
    return guest


def demonstrate(guest):
    guest.start_daemon()
    ranges = guest.dimm_range('d1') + ',' + guest.dimm_range('d2')
    work = scenario.Workload(guest, ranges, share=25, seed=2007, touch=True)
    say('  a workload holds %d pages, scattered over both DIMMs, and checks them all the time' % work.pages)
    show_command(guest, 'memunplugctl', 'status')
    show_command(guest, 'memunplugctl', 'devices')

    step('The hypervisor takes DIMM d1 back: QMP device_del d1')
    command('memunplugctl monitor')
    total = guest.meminfo('MemTotal')
    events = Events(guest)
    events.monitor.wait_line('', 20)            # it has the present state
    events.begin = time.monotonic()
    eject = scenario.Eject(guest, 'd1')
    guest.link.wait(events.pump_hypervisor, 120, 'the end of the eject')
    eject.wait_deleted(1)
    events.monitor.signal(15)
    events.monitor.wait(20)

    step('What the guest says afterwards')
    show_command(guest, 'memunplugctl', '--json=pretty', 'status')
    show_command(guest, 'memunplugctl', 'jobs')
    checked, bad = work.end()

    step('Result')
    gone = total - guest.meminfo('MemTotal')
    say('  DEVICE_DELETED after %.2f s, %.2f GiB less memory in the guest' % (eject.seconds, gone / GIB))
    say('  %d of its pages were in use, %.3f migrations for each' % (eject.used, eject.ratio))
    say("  the hypervisor's peak memory meanwhile: %+.1f MiB" % ((eject.rss_peak - eject.rss_before) / scenario.MIB))
    say('  %sworkload: %d page checks, %d bad pages%s' % (BOLD, checked, bad, PLAIN))
    if bad or gone != GIB or guest.splats():
        raise Unexpected('\n'.join(guest.splats()) or 'that is wrong')


def main():
    p = argparse.ArgumentParser(prog='tests/demo', description=__doc__)
    p.add_argument('--kernel', default='6.1', choices=sorted(debian.SERIES))
    a = p.parse_args()
    machine.end_on_sigterm()
    try:
        with boot(*build(a.kernel)) as guest:
            demonstrate(guest)
        return 0
    except (Unexpected, machine.GuestError, debian.PackageError, product.BuildError) as error:
        print('demo: %s' % error, file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
