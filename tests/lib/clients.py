# SPDX-License-Identifier: GPL-2.0-or-later
#
# Varlink clients of others that this Debian does not have: varlinkctl of Debian 13 with
# its own libraries, python3-varlink. Unpacked below the cache, never installed. Tests
# find them by the environment, and skip what is not there.

import os

import debian
import image


def _python_varlink():
    """The folder with the module, which is of Python alone."""
    root = debian.unpack([debian.archive('backports').fetch('python3-varlink')])
    return os.path.join(root, 'usr/lib/python3/dist-packages')


def environment():
    """Variables for the tests: VARLINKCTL and PYTHONPATH, as far as they can be had."""
    found = {}
    for name, find in (('VARLINKCTL', lambda: ' '.join(image.varlinkctl())), ('PYTHONPATH', _python_varlink)):
        try:
            found[name] = find()
        except debian.PackageError as error:
            print('#   without %s: %s' % (name, str(error).splitlines()[0]))
    return found
