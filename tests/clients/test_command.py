"""Programs as clients: what they are told, what is kept of what they say, and that nothing of them stays behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_mailauth.judge.clients.case import Case
from pytest_mailauth.judge.clients.catalogue import builtin
from pytest_mailauth.judge.clients.client import ClientFailedError
from pytest_mailauth.judge.clients.command import LINE_LIMIT, OUTPUT_LIMIT, PLACEHOLDERS, Program, command_client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.errors import ClientUnusable, ConfigError
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE = 20.0
PASSWORD = Secret("Pw0123456789abcdef01234567")
TOKEN = Secret("Tk0123456789abcdef01234567")
WRITE_ALL = "import json, os, sys; json.dump([sys.argv[2:], dict(os.environ)], open(sys.argv[1], 'w'))"


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


def make_case(
    *,
    other_port: int | None = None,
    username: str = "alice",
    domain: str | None = "example.test",
    work: dict[str, object] | None = None,
) -> Case:
    return Case(
        protocol=Protocol.SMTP,
        security=Security.IMPLICIT,
        host="localhost",
        port=4465,
        username=username,
        password=PASSWORD,
        token=TOKEN,
        cafile="ca.pem",
        other_port=other_port,
        domain=domain,
        work=work or {},
    )


def told(
    tmp_path: Path, *arguments: str, case: Case | None = None, **options: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the arguments and the environment that a program saw."""
    file = tmp_path / "seen.json"
    Program(python(WRITE_ALL, str(file), *arguments), **options).run(case or make_case())
    seen, environment = json.loads(file.read_text())
    return seen, environment


EXPECTED = {
    "host": "localhost",
    "port": "4465",
    "security": "implicit",
    "username": "alice",
    "password": str(PASSWORD),
    "cafile": "ca.pem",
    "sender": "alice@example.test",
    "recipient": "bob@example.test",
    "url": "smtps://localhost:4465",
    "fallback_port": "0",
    "timeout": "2",
    "token": TOKEN,
    "domain": "example.test",
    "by_default": "no",
    "pinned": "",
    "sts_policy": "",
    "tlsa": "",
    "requires_tls": "no",
}


def test_the_table_of_expectations_is_complete():
    assert set(EXPECTED) == set(PLACEHOLDERS)


def test_every_placeholder_is_replaced_and_exported(tmp_path):
    arguments, environment = told(tmp_path, *(f"<{{{name}}}>" for name in EXPECTED))
    assert arguments == [f"<{value}>" for value in EXPECTED.values()]
    assert {name: environment[f"MAILAUTH_{name.upper()}"] for name in EXPECTED} == EXPECTED


def test_a_domain_is_told_to_those_that_look_for_its_servers(tmp_path):
    arguments, environment = told(tmp_path, "{domain}", case=make_case(domain=None))
    assert arguments == ["{domain}"]
    assert "MAILAUTH_DOMAIN" not in environment


def test_several_placeholders_stand_in_one_argument(tmp_path):
    arguments, _ = told(tmp_path, "{username}:{password}@{host}")
    assert arguments == [f"alice:{PASSWORD}@localhost"]


@pytest.mark.parametrize(
    "kept", ["{}", "{ host }", "{Host}", "${host}", "%{http_code}", "{print $1}", "{first-name}", "{'a': 1}", "{print}"]
)
def test_other_braces_stay(tmp_path, kept):
    arguments, _ = told(tmp_path, kept)
    assert arguments == [kept]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("usernme", "username"), ("user", "username"), ("fallbackport", "fallback_port"), ("to", "recipient")],
)
def test_a_misspelt_placeholder_names_the_closest(written, meant):
    with pytest.raises(ConfigError, match=rf"\{{{written}\}} is no placeholder; did you mean \{{{meant}\}}\?"):
        Program((sys.executable, f"--option={{{written}}}"))


def test_another_port_is_told_to_programs_that_ask(tmp_path):
    case = make_case(other_port=4587)
    assert told(tmp_path, "{fallback_port}", case=case)[0] == ["4587"]
    assert case.asked_for_fallback


def test_another_port_is_kept_from_programs_that_do_not_ask(tmp_path):
    case = make_case(other_port=4587)
    assert "MAILAUTH_FALLBACK_PORT" not in told(tmp_path, case=case)[1]
    assert not case.asked_for_fallback


@pytest.mark.parametrize(
    ("name", "told_it", "value"),
    [
        ("by_default", True, "yes"),
        ("pinned", "c0ffee", "c0ffee"),
        ("sts_policy", "version: STSv1\r\n", "version: STSv1\r\n"),
        ("tlsa", ("3 0 1 c0", "3 0 1 ff"), "3 0 1 c0\n3 0 1 ff"),
        ("requires_tls", True, "yes"),
    ],
)
def test_what_only_some_programs_can_do_is_told_to_those_that_say_so(tmp_path, name, told_it, value):
    case = make_case(work={name: told_it})
    assert f"MAILAUTH_{name.upper()}" not in told(tmp_path, case=case)[1]
    assert case.heard == set()
    arguments, environment = told(tmp_path, f"{{{name}}}", case=case)
    assert (arguments, environment[f"MAILAUTH_{name.upper()}"]) == ([value], value)
    assert case.heard == {name}


def test_another_port_is_told_to_programs_that_declare_it(tmp_path):
    file = tmp_path / "seen.json"
    declared = Declaration(fallback="other-port")
    client = command_client(python(WRITE_ALL, str(file)), Protocol.SMTP, (Security.IMPLICIT,), declared)
    case = make_case(other_port=4587)
    client.run(case)
    assert json.loads(file.read_text())[1]["MAILAUTH_FALLBACK_PORT"] == "4587"
    assert case.asked_for_fallback
    assert client.may_switch


def test_a_client_is_named_after_its_program():
    client = command_client((sys.executable,), Protocol.IMAP, (Security.IMPLICIT,))
    assert client.name == Path(sys.executable).name
    assert client.protocols == (Protocol.IMAP,)
    assert client.declared == Declaration()


def test_success_and_silence_report_nothing():
    case = make_case()
    Program(python("pass")).run(case)
    assert case.facts == {}


def test_what_a_successful_program_says_is_reported():
    case = make_case()
    Program(
        python("import sys; print('out'); sys.stdout.flush(); print('\\x1b[31merr\\x1b[0m\\a', file=sys.stderr)")
    ).run(case)
    assert case.facts == {"error": "out / err?"}


def test_a_failure_quotes_the_last_lines():
    code = "for n in range(9): print('line', n)\nraise SystemExit(7)"
    with pytest.raises(ClientFailedError, match=r"^exit status 7: line 5 / line 6 / line 7 / line 8$"):
        Program(python(code)).run(make_case())


def test_a_failure_without_a_word():
    with pytest.raises(ClientFailedError, match=r"^exit status 3$"):
        Program(python("raise SystemExit(3)")).run(make_case())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to die of")
def test_a_program_that_dies_of_a_signal():
    with pytest.raises(ClientFailedError, match=r"^ended by SIGABRT"):
        Program(python("import os; os.abort()")).run(make_case())


def test_secrets_are_hidden_in_what_a_program_says():
    case = make_case()
    code = "import os, sys; sys.exit(' '.join(sys.argv[1:]) + os.environ['MAILAUTH_TOKEN'])"
    with pytest.raises(ClientFailedError) as caught:
        Program(python(code, "{password}", "{token}")).run(case)
    assert str(caught.value) == "exit status 1: <password> <token><token>"


def test_a_secret_is_hidden_before_a_long_line_is_cut():
    code = f"import sys; sys.exit('x' * {LINE_LIMIT - 20} + sys.argv[1])"
    with pytest.raises(ClientFailedError) as caught:
        Program(python(code, "{password}")).run(make_case())
    assert PASSWORD[:6] not in str(caught.value)
    assert str(caught.value).endswith("x<password>")


def test_a_secret_is_hidden_where_the_output_was_cut():
    code = f"import sys; sys.stdout.write(sys.argv[1] + 'x' * {OUTPUT_LIMIT - 6})"
    case = make_case()
    Program(python(code, "{password}")).run(case)
    assert case.facts == {"error": "x" * LINE_LIMIT}


def test_a_flood_of_output_neither_stops_the_program_nor_is_kept(tmp_path):
    code = f"import sys; sys.stdout.write('x' * {20 * OUTPUT_LIMIT}); sys.exit('\\nthe end')"
    with pytest.raises(ClientFailedError, match=r"the end$") as caught:
        Program(python(code)).run(make_case())
    assert len(str(caught.value)) < 1000


def test_standard_input_is_empty():
    Program(python("import sys; sys.exit(sys.stdin.read() != '')")).run(make_case())


def test_an_unknown_program_cannot_be_used():
    with pytest.raises(ClientUnusable, match="there is no program 'no-such-program-here'"):
        Program(("no-such-program-here", "{host}"))


def test_no_program_at_all():
    with pytest.raises(ConfigError, match="there is no program to run"):
        Program(())


@pytest.mark.skipif(sys.platform == "win32", reason="executable bits")
def test_a_program_that_cannot_be_started(tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00not a program")
    broken.chmod(0o755)
    program = Program((str(broken),))
    with pytest.raises(ClientUnusable, match="could not be started"):
        program.run(make_case())


def test_several_runs_at_a_time(tmp_path):
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    program = Program(python(code, str(tmp_path / "{username}"), "{username}"))
    names = [f"user{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: program.run(make_case(username=name)), names))
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == names


# A program's life is watched through a connection: when it ends, in whatever way, the connection does.
CALLS_HOME = (
    "import socket, sys\nhome = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\nhome.sendall(b'+')\n"
)
HANGS = CALLS_HOME + "home.recv(1)\n"


class Home:
    """Where the programs of a test call."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port = str(self._listener.getsockname()[1])
        self._calls: list[socket.socket] = []

    def answer(self) -> Callable[[], bool]:
        """Wait for a call; return a function that waits for its end and returns whether it ended."""
        call, _ = self._listener.accept()
        self._calls.append(call)
        call.settimeout(DEADLINE)
        assert call.recv(1) == b"+"
        return lambda: _has_ended(call)

    def close(self) -> None:
        for each in (*self._calls, self._listener):
            each.close()


def _has_ended(call: socket.socket) -> bool:
    try:
        return call.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def home() -> Iterator[Home]:
    home = Home()
    yield home
    home.close()


def run_aside(program: Program, case: Case) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            program.run(case)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="process groups")


@posix_only
def test_a_hanging_program_is_stopped_with_its_children(home):
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {HANGS!r}, sys.argv[1]])\n{HANGS}"
    program, case = Program(python(code, home.port)), make_case()
    thread, raised = run_aside(program, case)
    calls = [home.answer(), home.answer()]
    program.stop(case)
    thread.join(DEADLINE)
    assert [str(error) for error in raised] == ["still running at its time limit, and stopped"]
    assert all(has_ended() for has_ended in calls)


@posix_only
def test_children_do_not_outlive_their_program(home):
    code = (
        f"{CALLS_HOME}import subprocess\nsubprocess.Popen([sys.executable, '-c', {HANGS!r}, sys.argv[1]])\nhome.recv(1)"
    )
    thread, raised = run_aside(Program(python(code, home.port)), make_case())
    home.answer()
    child = home.answer()
    home._calls[0].sendall(b"-")  # lets the program end
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert raised == []
    assert child()


@posix_only
def test_a_child_that_escapes_does_not_hold_the_run_up(home):
    escaped = f"import os; os.setsid()\n{HANGS}"
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {escaped!r}, sys.argv[1]])\n{HANGS}"
    thread, _ = run_aside(Program(python(code, home.port)), make_case())
    home.answer()
    home.answer()
    for call in home._calls:
        call.sendall(b"-")
    thread.join(DEADLINE)
    assert not thread.is_alive()


@posix_only
def test_closing_ends_what_runs_and_begins_nothing(home):
    program = Program(python(HANGS, home.port))
    thread, raised = run_aside(program, make_case())
    call = home.answer()
    program.close()
    thread.join(DEADLINE)
    assert call()
    assert len(raised) == 1
    with pytest.raises(ClientFailedError, match="stopped before it was started"):
        program.run(make_case(username="later"))


def test_closing_removes_what_a_run_that_never_ends_was_given():
    program = Program(python("pass"))
    policy = program._relaxed_policy()
    assert policy.exists()
    program.close()
    assert not policy.exists()
    with pytest.raises(ClientFailedError, match="stopped before it was started"):
        program.run_relaxed(make_case())


def test_a_run_that_was_stopped_before_it_began():
    program, case = Program(python("pass")), make_case()
    program.stop(case)
    with pytest.raises(ClientFailedError, match="stopped before it was started"):
        program.run(case)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="descriptors cannot be counted")
def test_no_descriptor_stays_open():
    before = len(list(Path("/dev/fd").iterdir()))
    for code in ("pass", "raise SystemExit(1)"):
        with contextlib.suppress(ClientFailedError):
            Program(python(code)).run(make_case())
    assert len(list(Path("/dev/fd").iterdir())) <= before


HARDENED = """\
openssl_conf = openssl_init
[openssl_init]
ssl_conf = ssl
[ssl]
system_default = hardened
[hardened]
MinProtocol = TLSv1.2
CipherString = DEFAULT@SECLEVEL=2
"""


# A client that follows the host's policy: openssl's own, made to speak POP3 by a pipe.
TALK = (
    "printf 'USER {username}\\r\\nPASS {password}\\r\\nQUIT\\r\\n' | "
    "openssl s_client -quiet -verify_return_error -CAfile {cafile} -connect {host}:{port}"
)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program that follows the host's policy is openssl")
@pytest.mark.parametrize(
    ("own_floor", "verdict", "evidence"),
    [("", Verdict.NOTE, "by this host, not by the client"), (" -tls1_2", Verdict.PASS, "TLS 1.0 was refused")],
)
def test_what_the_host_refuses_is_told_from_what_the_program_refuses(
    tmp_path, monkeypatch, own_floor, verdict, evidence
):
    policy = tmp_path / "openssl.cnf"
    policy.write_text(HARDENED)
    monkeypatch.setenv("OPENSSL_CONF", str(policy))
    client = command_client(("sh", "-c", TALK + own_floor), Protocol.POP3, (Security.IMPLICIT,))
    (row,) = Runner([client], select=["tls10-only"]).run()
    assert (row.verdict, evidence in row.judgements[0].finding.evidence) == (verdict, True)


# What the built-in client calls curl, whatever curl is here: openssl once more, so that the host's policy counts.
CURL = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --user) user=$2 ;; --cacert) ca=$2 ;; --url) url=${2#*://} ;; esac
  shift
done
printf 'USER %s\\r\\nPASS %s\\r\\nQUIT\\r\\n' "${user%%:*}" "${user#*:}" |
  openssl s_client -quiet -verify_return_error -CAfile "$ca" -connect "${url%/}"
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program that follows the host's policy is openssl")
def test_the_built_in_curl_is_told_from_the_host_as_well(tmp_path, monkeypatch):
    (tmp_path / "openssl.cnf").write_text(HARDENED)
    (tmp_path / "curl").write_text(CURL)
    (tmp_path / "curl").chmod(0o755)
    monkeypatch.setenv("OPENSSL_CONF", str(tmp_path / "openssl.cnf"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (curl,) = builtin("curl")
    client = dataclasses.replace(curl, protocols=(Protocol.POP3,), securities=(Security.IMPLICIT,))
    (row,) = Runner([client], select=["tls10-only"]).run()
    assert row.verdict is Verdict.NOTE
    assert "by this host, not by the client" in row.judgements[0].finding.evidence
