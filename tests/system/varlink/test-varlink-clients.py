#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our Varlink server against the clients of others, and our interface against their
parsers. Programs that are not installed are skipped one by one; $VARLINKCTL may name
varlinkctl. Arguments: the certification server and org.memunplug.varlink."""
import os
import shutil
import subprocess
import sys
import tempfile

SERVER, IDL = sys.argv[1:]
TIMEOUT = 30
cases = []


def case(function):
    cases.append(function)
    return function


class Skip(Exception):
    pass


class Server:
    """The certification server on a socket of its own."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='memunplug-varlink-')
        self.path = os.path.join(self.folder.name, 'socket')
        self.process = subprocess.Popen([SERVER, self.path], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == 'ready\n'
        return self

    def __exit__(self, *error):
        self.process.terminate()
        code = self.process.wait(TIMEOUT)
        self.process.stdout.close()
        self.folder.cleanup()
        assert code == 0 or error[0], f'the server ended with {code}'


def find(name):
    path = shutil.which(name)
    if not path:
        raise Skip(f'no {name}')
    return path


def varlinkctl():
    return os.environ.get('VARLINKCTL', '').split() or [find('varlinkctl')]


def python_cli():
    probe = subprocess.run([sys.executable, '-c', 'import varlink.cli'], stderr=subprocess.DEVNULL)
    if probe.returncode:
        raise Skip('no python3-varlink')
    return [sys.executable, '-m', 'varlink.cli']


def run(*argv, code=0, **options):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=TIMEOUT, **options)
    assert done.returncode == code, f'{argv} ended with {done.returncode}:\n{done.stdout}'
    return done.stdout


@case
def go_client():
    with Server() as server:
        for _ in range(3):
            out = run(find('varlink-go-certification'), '-client', '-varlink', 'unix:' + server.path)
            assert "End: 'true'" in out, out
            assert out.count('Receive: ') == 10, out


@case
def go_parser():
    generator = find('varlink-go-interface-generator')
    with tempfile.TemporaryDirectory(prefix='memunplug-varlink-') as folder:
        copy = shutil.copy(IDL, folder)
        run(generator, copy, cwd=folder)
        made = [name for name in os.listdir(folder) if name.endswith('.go')]
        assert made, 'nothing was generated'
        with open(os.path.join(folder, made[0]), encoding='utf-8') as f:
            text = f.read()
    for method in 'GetStatus', 'Unplug', 'Monitor':
        assert f'type {method}_methods struct' in text or f'{method}(ctx' in text, method


@case
def python_client():
    cli = python_cli()
    with Server() as server:
        address = 'unix:' + server.path
        assert 'org.varlink.certification' in run(*cli, 'info', address)
        assert 'method Test09' in run(*cli, 'help', address + '/org.varlink.certification')
        assert '"certified-1"' in run(*cli, 'call', address + '/org.varlink.certification.Start', '{}')


@case
def python_parser():
    python_cli()
    run(sys.executable, '-c', 'import sys, varlink\n'
        'i = varlink.Interface(open(sys.argv[1]).read())\n'
        'assert i.name == "org.memunplug" and "Unplug" in i.members, i.members', IDL)


@case
def varlinkctl_client():
    ctl = varlinkctl()
    with Server() as server:
        name = 'org.varlink.certification'
        assert 'Product: certification' in run(*ctl, 'info', server.path)
        assert name in run(*ctl, 'list-interfaces', server.path)
        assert 'error ExpectedMore' in run(*ctl, 'introspect', server.path, 'org.varlink.service')
        assert '"certified-1"' in run(*ctl, 'call', server.path, name + '.Start', '{}')
        out = run(*ctl, 'call', server.path, name + '.Test01', '{"client_id":"x"}', code=1)
        assert 'ClientIdError' in out, out
        assert 'MethodNotFound' in run(*ctl, 'call', server.path, name + '.Nope', '{}', code=1)


@case
def varlinkctl_parser():
    run(*varlinkctl(), 'validate-idl', IDL)


def main():
    print(f'1..{len(cases)}')
    failed = 0
    for number, function in enumerate(cases, 1):
        name = function.__name__
        try:
            function()
            print(f'ok {number} - {name}')
        except Skip as e:
            print(f'ok {number} - {name} # SKIP {e}')
        except (AssertionError, subprocess.SubprocessError) as e:
            failed += 1
            print(f'not ok {number} - {name}')
            print('\n'.join('# ' + line for line in str(e).splitlines()))
    return 1 if failed else 0


sys.exit(main())
