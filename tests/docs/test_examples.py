"""Every example in the documents does what the text around it says."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import generate
import pytest
from documents import appears, examples

from pytest_mailauth.network.namespace import Namespace

DEADLINE = 120
LEFT_LOOPBACK = 97
GUARD = f"""
import os, sys

def guard(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if not (host.startswith("127.") or host in ("localhost", "::1", "::ffff:127.0.0.1")):
            os.write(2, f"an example tried to reach {{host}}".encode())
            os._exit({LEFT_LOOPBACK})

sys.addaudithook(guard)
"""

EVERY = examples()
TESTS = [example for example in EVERY if example.is_test]
SCRIPTS = [example for example in EVERY if example.kind == "python" and not example.is_test and not example.file_name]
COMMANDS = [
    pytest.param(example, command, output, id=f"{example.id}-{number}")
    for example in EVERY
    if example.kind != "python"
    for number, (command, output) in enumerate(example.commands)
    if command.startswith("mailauth ")
]


@pytest.fixture
def workplace(pytester):
    """A folder with the files that a page has shown so far."""

    def lay(example):
        for name, body in example.files.items():
            (pytester.path / name).write_text(body, encoding="utf-8")
        return pytester.path

    return lay


@pytest.fixture
def run(pytester):
    """Run a program that cannot leave loopback, nor can what it starts, if that is Python too."""
    guard = pytester.path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    here = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    environment |= {
        "PYTHONPATH": str(guard),
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": str(generate.COLUMNS),
        "PYTHONUTF8": "1",
    }

    def run(argv):
        return subprocess.run(
            argv,
            env=environment,
            cwd=pytester.path,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE,
            check=False,
        )

    return run


def test_the_guard_of_the_commands_works(run):
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    assert run([sys.executable, "-c", program]).returncode == LEFT_LOOPBACK


def skip_without_needs(example):
    """Skip an example for want of a program, or of "namespace"."""
    for needed in example.options.get("needs", "").split():
        if needed == "namespace":
            if Namespace.probe("refused"):
                pytest.skip(Namespace.probe("refused"))
        elif shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")


@pytest.mark.parametrize("example", TESTS, ids=lambda example: example.id)
def test_tests(example, workplace, pytester):
    skip_without_needs(example)
    name = example.file_name or "test_example.py"
    (workplace(example) / name).write_text(example.body, encoding="utf-8")
    arguments = (
        "-W",
        "error",
        "--strict-markers",
        "-p",
        "no:randomly",
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        name,
    )
    result = pytester.runpytest(*arguments)
    outcomes = result.parseoutcomes()
    assert "errors" not in outcomes
    if "fails" in example.options:
        assert outcomes["failed"]
    else:
        assert outcomes["passed"]
        assert "failed" not in outcomes
    for shown in example.shown:
        assert appears(generate.settled(shown), generate.settled(result.stdout.str()))


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda example: example.id)
def test_scripts(example, workplace, monkeypatch, capsys):
    monkeypatch.syspath_prepend(workplace(example))
    exec(compile(example.body, example.id, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own documents
    printed = capsys.readouterr().out
    for shown in example.shown:
        assert appears(generate.settled(shown), generate.settled(printed))


@pytest.mark.parametrize(("example", "command", "output"), COMMANDS)
def test_commands(example, command, output, workplace, run):
    skip_without_needs(example)
    workplace(example)
    _, *arguments = shlex.split(command)
    arguments[1:1] = shlex.split(example.options.get("with", ""))
    done = run([sys.executable, "-m", "pytest_mailauth", *arguments])
    assert done.returncode == int(example.options.get("status", "0")), done.stdout + done.stderr
    for shown in (output, *example.shown):
        assert appears(generate.settled(shown), generate.settled(done.stdout))
