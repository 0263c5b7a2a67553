"""What programs print is what they show; what a library raises is not."""

from __future__ import annotations

import smtplib
import sys

import pytest

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.command import Program
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

PROGRAM = """
import os, poplib, ssl, sys
port, username, password = sys.argv[1:]
pop3 = poplib.POP3("localhost", int(port), timeout=5)
pop3.stls(ssl.create_default_context(cafile=os.environ["MAILAUTH_CAFILE"]))
pop3.user(username)
pop3.pass_(password)
pop3.stat()
pop3.quit()
"""
CAREFUL = f"""
try:
    {PROGRAM.strip().replace(chr(10), chr(10) + "    ")}
except poplib.error_proto:
    sys.exit("The server is not there for us.")
"""
SHOWING = f"""
try:
    {PROGRAM.strip().replace(chr(10), chr(10) + "    ")}
except poplib.error_proto as error:
    sys.stdout.buffer.write(error.args[0])
    sys.exit(1)
"""


def judged(client, *scenarios):
    return {row.setting.scenario.name: row for row in Runner([client], select=scenarios).run()}


@pytest.mark.parametrize(("source", "verdict"), [(CAREFUL, Verdict.PASS), (SHOWING, Verdict.VIOLATION)])
def test_what_a_program_prints_is_shown(tmp_path, source, verdict):
    script = tmp_path / "fetch.py"
    script.write_text(source)
    program = Program((sys.executable, str(script), "{port}", "{username}", "{password}"))
    client = Client(
        name="a program",
        run=program.run,
        stop=program.stop,
        reach=None,
        protocols=(Protocol.POP3,),
        securities=(Security.STARTTLS,),
        declared=Declaration(timeout=10.0),
    )
    rows = judged(client, "error-text-pop3-smtp", "ansi-escape-text")
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(rows, verdict)
    assert len(rows) == 2


def test_what_a_library_raises_is_not_shown():
    def raises(case):
        with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as smtp:
            smtp.starttls(context=case.ssl_context())
            smtp.login(case.username, case.password)

    client = Client(name="a library", run=raises, protocols=(Protocol.SMTP,), securities=(Security.STARTTLS,))
    row = judged(client, "error-text-pop3-smtp")["error-text-pop3-smtp"]
    assert row.verdict is Verdict.NOT_APPLICABLE
    assert "case.report(shown=...)" in row.judgements[0].finding.evidence
