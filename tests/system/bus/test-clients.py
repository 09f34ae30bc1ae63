#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test-clients.py MEMUNPLUGD TOP: Varlink clients of others and the real daemon. varlinkctl of systemd ($VARLINKCTL) and
python3-varlink ask all that there is to ask, each with a parser of its own for the interface that it is served; and
what the daemon says is what that interface promises, field by field."""
import json
import os
import pathlib
import subprocess
import tempfile

from machine import BLOCKS, PATIENCE, PROGRAM, SIZE, TOP, Machine, needs, needs_module, run_tests

varlink = needs_module("varlink", "python3-varlink")
from varlink import scanner     # noqa: E402

CTL = os.environ.get("VARLINKCTL", "varlinkctl").split()
NAME = "org.memunplug"
IDL = (TOP / "daemon/front/org.memunplug.varlink").read_text()


def ctl(m, verb, *arguments, code=0, address=None):
    """varlinkctl's output, without what it says beside."""
    options = [argument for argument in arguments if argument.startswith("-")]
    rest = [argument for argument in arguments if not argument.startswith("-")]
    where = address or f"{m.directory}/varlink"
    done = subprocess.run([*CTL, *options, verb, where, *rest], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE)
    assert done.returncode == code, (arguments, done)
    return done.stdout if code == 0 else done.stderr + done.stdout


def call(m, method, parameters, *options, **more):
    return ctl(m, "call", "-j", *options, f"{NAME}.{method}", json.dumps(parameters), **more)


def replies(text):
    """Of the form that it prints several in."""
    return [json.loads(part) for part in text.replace("\x1e", "\n").split("\n") if part.strip()]


def test_varlinkctl_looks(m):
    info = json.loads(ctl(m, "info", "-j"))
    assert (info["product"], info["interfaces"]) == ("memunplugd", ["org.varlink.service", NAME]), info
    assert ctl(m, "list-interfaces").split() == [NAME, "org.varlink.service"]
    methods = ctl(m, "list-methods").split()
    wanted = [f"{NAME}.{line.split('(')[0][7:]}" for line in IDL.splitlines() if line.startswith("method ")]
    assert [name for name in methods if name.startswith(NAME)] == sorted(wanted), methods
    assert "method GetStatus() -> (" in ctl(m, "introspect", NAME)      # which it has parsed and written anew


def test_varlinkctl_calls(m):
    assert json.loads(call(m, "GetStatus", {})) == m.varlink("GetStatus")[0]
    blocks = [reply["block"] for reply in replies(call(m, "ListBlocks", {}, "--more"))]
    assert blocks == [reply["block"] for reply in m.varlink("ListBlocks", more=True)] and len(blocks) == BLOCKS
    assert [reply["block"] for reply in json.loads(call(m, "ListBlocks", {}, "--collect"))] == blocks
    assert call(m, "GetStatus", {}, "--oneway") == ""
    assert "org.memunplug.NoSuchBlock" in call(m, "Plan", {"blocks": [4000000]}, code=1)
    assert "org.varlink.service.ExpectedMore" in call(m, "ListBlocks", {}, code=1)
    assert "org.varlink.service.InvalidParameter" in call(m, "Plan", {"bogus": 1}, code=1)
    assert "org.varlink.service.MethodNotFound" in call(m, "Nothing", {}, code=1)


def test_varlinkctl_follows_a_job(m):
    told = [reply["job"] for reply in replies(call(m, "Unplug", {"blocks": [14]}, "--more"))]
    assert told[0]["state"] == "queued" and told[-1]["state"] == "done", told
    told = replies(call(m, "Replug", {"blocks": [14]}, "--more"))
    assert told[-1]["job"]["state"] == "done", told
    (m.root / "sys/devices/system/memory/memory14/state").write_text("online\n")     # as the kernel would show it


def test_varlinkctl_starts_the_daemon(m):
    """exec: with one connection in place of a socket."""
    with tempfile.TemporaryDirectory() as directory:
        program = pathlib.Path(directory) / "memunplugd"
        program.write_text(f"#!/bin/sh\nexec {PROGRAM} --root={m.root} --device= --state=other-state\n")
        program.chmod(0o755)
        assert json.loads(call(m, "GetStatus", {}, address=f"exec:{program}"))["blockSizeBytes"] == SIZE


def served(m):
    """The interfaces as they are served: {name: text}."""
    with varlink.Client.new_with_address(f"unix:{m.directory}/varlink") as client:
        connection = client.open_connection()
        client.get_interfaces(connection)
        client.get_interface(NAME, connection)
        texts = {name: interface.get_description() for name, interface in client._interfaces.items()}
        connection.close()
    return texts


def test_all_parse_what_is_served(m):
    texts = served(m)
    assert texts[NAME] == IDL, "it serves something else than the file"
    for text in texts.values():
        with tempfile.NamedTemporaryFile("w", suffix=".varlink") as file:
            file.write(text)
            file.flush()
            subprocess.run([*CTL, "validate-idl", file.name], check=True, capture_output=True, timeout=PATIENCE)
            subprocess.run(["varlink-go-interface-generator", file.name], check=True, capture_output=True,
                           timeout=PATIENCE, cwd=tempfile.gettempdir())


def test_python_client(m):
    with varlink.Client.new_with_address(f"unix:{m.directory}/varlink") as client, client.open(NAME) as service:
        raw = m.varlink("GetStatus")[0]
        status = service.GetStatus()
        assert {key: value for key, value in status.items() if key in raw} == raw
        assert [reply["block"]["index"] for reply in service.ListBlocks(_more=True)] == list(range(BLOCKS))
        states = [reply["job"]["state"] for reply in service.Unplug(blocks=[15], _more=True)]
        assert states[0] == "queued" and states[-1] == "done", states
        try:
            service.Explain(4000000)
        except varlink.VarlinkError as error:
            assert error.error() == f"{NAME}.NoSuchBlock" and error.parameters()["block"] == 4000000
        else:
            raise AssertionError("no error")


def conforms(interface, kind, value, where):
    """Fails unless the value is of the type, with no field that the type does not have."""
    if isinstance(kind, scanner._CustomType):
        conforms(interface, interface.members[kind.name].type, value, f"{where}:{kind.name}")
    elif isinstance(kind, scanner._Maybe):
        conforms(interface, kind.element_type, value, where)
    elif isinstance(kind, scanner._Array):
        assert isinstance(value, list), where
        for item in value:
            conforms(interface, kind.element_type, item, where + "[]")
    elif isinstance(kind, scanner._Enum):
        assert value in kind.fields, f"{where}: {value}"
    elif isinstance(kind, scanner._Struct):
        assert isinstance(value, dict) and set(value) <= set(kind.fields), f"{where}: {value}"
        for name, field in kind.fields.items():
            if name in value:
                conforms(interface, field, value[name], f"{where}.{name}")
            else:
                assert isinstance(field, scanner._Maybe), f"{where}.{name} is missing"
    else:
        assert type(value) is type(kind), f"{where}: {value!r}"


def test_answers_are_as_promised(m):
    interface = scanner.Interface(served(m)[NAME])
    asked = [("GetStatus", {}, False), ("ListBlocks", {}, True), ("ListDevices", {}, True), ("ListJobs", {}, True),
             ("Diagnose", {}, False), ("Plan", {"sizeBytes": 2 * SIZE}, False), ("Plan", {"blocks": [1]}, False),
             ("Plan", {"sizeBytes": 100 * SIZE}, False), ("Explain", {"block": 1}, False),
             ("Explain", {"block": 14}, False), ("Unplug", {"blocks": [13]}, True), ("ListJobs", {"id": 1}, False),
             ("Replug", {"blocks": [13]}, True)]
    count = 0
    for method, parameters, more in asked:
        answers = m.varlink(method, parameters, more)
        assert not isinstance(answers, str), (method, answers)
        for answer in answers:
            conforms(interface, interface.get_method(method).out_type, answer, method)
            count += 1
    print(f"# {count} replies are as the interface says")


needs("dbus-daemon", "varlink-go-interface-generator", CTL[0])
run_tests(Machine(), [value for name, value in list(globals().items()) if name.startswith("test_")])
