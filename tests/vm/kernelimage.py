# SPDX-License-Identifier: GPL-2.0-or-later
#
# Kernel images as QEMU starts them without their decompressor, which under emulation takes as
# long as all the rest of a boot. It owns those that were unpacked, in the cache; a kernel
# that cannot be started so is started as it is.

import lzma
import os
import re
import struct
import subprocess

import debian

# Offsets into a bzImage: Documentation/arch/x86/boot.rst.
SETUP_SECTORS, PAYLOAD = 0x1f1, 0x248
# An ELF note of Xen's, XEN_ELFNOTE_PHYS32_ENTRY: it has an entry for this (PVH).
ENTRY_NOTE = re.compile(rb'\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0')


def _unpack(data):
    """The ELF kernel in a bzImage, or None if it is packed in another way."""
    offset, length = struct.unpack_from('<II', data, PAYLOAD)
    begin = ((data[SETUP_SECTORS] or 4) + 1) * 512 + offset
    packed = data[begin:begin + length - 4]     # behind it is the size of what it holds
    try:
        if packed.startswith(b'\xfd7zXZ'):
            return lzma.LZMADecompressor().decompress(packed)
        if packed.startswith(b'\x28\xb5\x2f\xfd'):
            return subprocess.run(['zstd', '-dc'], input=packed, capture_output=True, check=True).stdout
    except (lzma.LZMAError, OSError, subprocess.CalledProcessError):
        pass
    return None


def direct(image):
    """The path of an image to be started in place of this one: the same kernel, unpacked, or itself."""
    status = os.stat(image)
    path = os.path.join(debian.cache_dir('kernel-image'), '%s-%d-%d' % (os.path.basename(image), status.st_size,
                                                                         status.st_mtime_ns))
    with debian.Lock('kernel-image'):
        if not os.path.exists(path):
            with open(image, 'rb') as f:
                data = _unpack(f.read())
            if not data or not ENTRY_NOTE.search(data):
                data = b''                      # so that nobody tries it again
            with open(path + '.new', 'wb') as f:
                f.write(data)
            os.rename(path + '.new', path)
    return path if os.path.getsize(path) else image
