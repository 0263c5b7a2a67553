"""Ctrl-C and the other signals that end the command: what is known is told, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pytest_mailauth
from pytest_mailauth.interruption import Interruption

DEADLINE = 30.0

STUCK = """
import os, smtplib, socket, ssl, sys
host, port, cafile, home, sign = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
try:
    with smtplib.SMTP_SSL(host, port, timeout=5, context=ssl.create_default_context(cafile=cafile)) as client:
        client.login(os.environ["MAILAUTH_USERNAME"], os.environ["MAILAUTH_PASSWORD"])
except OSError as error:
    if sign in str(error):
        with socket.create_connection(("127.0.0.1", home)) as call:
            call.sendall(b"+")
            call.recv(1)
"""
CERTIFICATES = (
    *("tls12-only", "tls13-only"),
    *("cert-self-signed", "cert-unknown-ca", "cert-wrong-host", "cert-expired", "cert-eku-client-only"),
)
"""More than are run at the same time: when the last has begun, the first have been judged. They are compared with none."""

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals are something else there")


@contextlib.contextmanager
def stuck(sign, folder, *options):
    """Yield the command once its program, stuck at an error that says *sign*, has called; then see the program end."""
    (folder / "tmp").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as home:
        home.settimeout(DEADLINE)
        program = (sys.executable, "-c", STUCK, "{host}", "{port}", "{cafile}", str(home.getsockname()[1]), sign)
        options = ("--protocol", "smtp", "--security", "implicit", "--declare", "timeout=60", *options)
        with subprocess.Popen(
            (sys.executable, "-m", "pytest_mailauth", "check", *options, "--", *program),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(pytest_mailauth.__file__).parents[1],
            env=os.environ | {"TMPDIR": str(folder / "tmp")},
            # A test run in the background is started with Ctrl-C ignored, and its children would inherit that.
            preexec_fn=_by_default,  # noqa: PLW1509
        ) as command:
            call, _ = home.accept()
            with call:
                call.settimeout(DEADLINE)
                assert call.recv(1) == b"+"
                yield command
                command.wait(DEADLINE)
                with contextlib.suppress(ConnectionResetError):
                    assert call.recv(1) == b""  # the stuck program is gone too
    assert list((folder / "tmp").iterdir()) == []


def _by_default():
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@posix_only
@pytest.mark.parametrize(
    ("name", "status", "told"), [("INT", 130, "interrupted"), ("TERM", 143, "terminated"), ("HUP", 129, "hung up on")]
)
def test_a_signal_ends_it_with_what_is_known(name, status, told, tmp_path):
    file = tmp_path / "results.json"
    chosen = [part for scenario in CERTIFICATES for part in ("--scenario", scenario)]
    with stuck("unsuitable certificate purpose", tmp_path, *chosen, "--json", str(file)) as command:
        command.send_signal(getattr(signal, f"SIG{name}"))
        stdout, stderr = command.communicate(timeout=DEADLINE)
    assert command.returncode == status, stderr
    assert "Traceback" not in stdout + stderr
    assert f"Exit status {status}: {told}: above is what was known by then." in stdout
    document = json.loads(file.read_text())
    assert document["environment"]["interrupted"] is True
    known = {row["scenario"]: row["verdict"] for row in document["results"]}
    assert known
    assert known.items() <= dict.fromkeys(CERTIFICATES[:-1], "PASS").items()


@posix_only
def test_ctrl_c_before_anything_is_known(tmp_path):
    file = tmp_path / "results.json"
    with stuck("refused", tmp_path, "--scenario", "port-refuse", "--json", str(file)) as command:
        command.send_signal(signal.SIGINT)
        stdout, stderr = command.communicate(timeout=DEADLINE)
    assert command.returncode == 130, stderr
    assert json.loads(file.read_text())["results"] == []
    assert "SMTP with implicit TLS: 0 cases" in stdout
    assert "no case was judged" in stdout


@posix_only
def test_signals_are_taken_in_the_main_thread_alone_and_given_back(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(threading, "main_thread", lambda: None)
    with Interruption():
        assert {number: signal.getsignal(number) for number in before} == before
    monkeypatch.undo()
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as nohup has it
            assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]  # or it would end this process
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert interruption.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, previous)


@posix_only
def test_a_second_signal_does_not_stop_what_the_first_began():
    with Interruption() as interruption:
        assert signal.SIG_DFL not in (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert interruption.number == signal.SIGHUP
