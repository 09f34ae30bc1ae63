# SPDX-License-Identifier: GPL-2.0-or-later
#
# Programs of others that read what ours say. Varlink clients that this Debian does not have:
# varlinkctl of Debian 13 with its own libraries, python3-varlink. Readers of metrics that
# come as services, which nobody wants started here: promtool, the node exporter. Unpacked
# below the cache, never installed. Tests find them by the environment, and skip what is not
# there.

import os

import debian
import image


def _python_varlink():
    """The folder with the module, which is of Python alone."""
    root = debian.unpack([debian.archive('backports').fetch('python3-varlink')])
    return os.path.join(root, 'usr/lib/python3/dist-packages')


def _program(package, path):
    return os.path.join(debian.unpack([debian.archive('bookworm').fetch(package)]), path)


FINDERS = {
    'VARLINKCTL': lambda: ' '.join(image.varlinkctl()),
    'PYTHONPATH': _python_varlink,
    'PROMTOOL': lambda: _program('prometheus', 'usr/bin/promtool'),
    'NODE_EXPORTER': lambda: _program('prometheus-node-exporter', 'usr/bin/prometheus-node-exporter'),
}


def environment():
    """Variables for the tests, those of FINDERS, as far as they can be had."""
    found = {}
    for name, find in FINDERS.items():
        try:
            found[name] = find()
        except debian.PackageError as error:
            print('#   without %s: %s' % (name, str(error).splitlines()[0]))
    return found
