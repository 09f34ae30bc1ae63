#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes a C file with one string constant out of a text file: embed-text.py SYMBOL INPUT OUTPUT."""
import sys

ESCAPES = {'\\': '\\\\', '"': '\\"', '\t': '\\t', '?': '\\?'}


def literal(line):
    out = ''
    for byte in line.encode('utf-8'):
        char = chr(byte)
        if char in ESCAPES:
            out += ESCAPES[char]
        elif 0x20 <= byte < 0x7f:
            out += char
        else:
            out += f'\\{byte:03o}'
    return f'        "{out}\\n"'


def main():
    symbol, source, target = sys.argv[1:]
    with open(source, encoding='utf-8', newline='') as f:
        lines = f.read().split('\n')
    if lines.pop() != '' or any('\0' in line or '\r' in line for line in lines):
        sys.exit(f'{source}: not lines of text')
    with open(target, 'w', encoding='ascii') as f:
        f.write(f'extern const char {symbol}[];\n\nconst char {symbol}[] =\n')
        f.write('\n'.join(literal(line) for line in lines))
        f.write(';\n')


main()
