"""Clients made of smtplib and poplib that keep, reopen and mix up connections, and programs that say too much."""

from __future__ import annotations

import contextlib
import poplib
import smtplib
import ssl
import sys
import textwrap

import pytest

from pytest_mailauth.judge.clients.client import Client
from pytest_mailauth.judge.clients.command import command_client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration

POOLS = ["pool-clear-then-tls", "pool-tls-config-mismatch", "pool-other-user"]
PASS, NOTE, VIOLATION, NOT_APPLICABLE = Verdict.PASS, Verdict.NOTE, Verdict.VIOLATION, Verdict.NOT_APPLICABLE


def judged(run, *, select, protocol=Protocol.SMTP, securities=(Security.STARTTLS,), **declared):
    client = run
    if not isinstance(run, Client):
        declared = Declaration(timeout=1.0, **declared)
        client = Client(name="under test", run=run, protocols=(protocol,), securities=securities, declared=declared)
    return {(row.setting.scenario.name, row.security): row for row in Runner([client], select=select).run()}


class Mailer:
    """A mailer that keeps its connections, and looks them up by what *key* makes of a case."""

    def __init__(self, key):
        self._key = key
        self._kept = {}

    def send(self, case):
        connection = self._kept.get(self._key(case))
        if connection is None:
            connection = self._kept[self._key(case)] = self._connected(case)
        connection.sendmail(case.sender, [case.recipient], "Subject: x\r\n\r\nx\r\n")

    @staticmethod
    def _connected(case):
        implicit = case.security == "implicit"
        common = {"host": case.host, "port": case.port, "timeout": case.timeout}
        made = smtplib.SMTP_SSL(context=case.ssl_context(), **common) if implicit else smtplib.SMTP(**common)
        try:
            if case.security == "starttls":
                made.starttls(context=case.ssl_context())
            made.login(case.username, case.password)
        except BaseException:
            made.close()
            raise
        return made

    def close(self):
        for connection in self._kept.values():
            connection.close()


def pooled(*names):
    def run(case):
        with contextlib.closing(Mailer(lambda one: tuple(str(getattr(one, name)) for name in names))) as mailer:
            for transfer in filter(None, (case.earlier, case)):
                mailer.send(transfer)

    return run


@pytest.mark.parametrize(
    ("names", "broken"),
    [
        (("host", "port", "security", "verify", "username"), []),
        (("host", "port", "verify", "username"), ["pool-clear-then-tls"]),
        (("host", "port", "security", "username"), ["pool-tls-config-mismatch"]),
        (("host", "port", "security", "verify"), ["pool-other-user"]),
        (("host", "port"), POOLS),
    ],
)
def test_what_a_pool_forgets_to_look_at_is_found(names, broken):
    rows = judged(pooled(*names), select=POOLS, securities=(Security.STARTTLS, Security.IMPLICIT))
    assert len(rows) == 5
    flagged = {name for (name, _), row in rows.items() if row.verdict is VIOLATION}
    assert flagged == set(broken)
    assert {row.verdict for (name, _), row in rows.items() if name not in broken} <= {PASS}
    assert {j.rule for row in rows.values() for j in row.judgements} == {"reuse-matches-security"}


def test_a_client_of_one_transfer_never_hears_of_another():
    def single(case):
        pooled("host")(WithoutEarlier(case))

    rows = judged(single, select=POOLS, securities=(Security.STARTTLS, Security.IMPLICIT))
    assert {row.verdict for row in rows.values()} == {NOT_APPLICABLE}
    assert all("case.earlier" in row.judgements[0].finding.evidence for row in rows.values())


class WithoutEarlier:
    earlier = None

    def __init__(self, case):
        self._case = case

    def __getattr__(self, name):
        return getattr(self._case, name)


def test_the_earlier_transfer_is_on_other_terms_and_the_one_under_test_is_not():
    told = []

    def run(case):
        if case.before is not None:
            told.append((case.before, case, *(one.ssl_context().verify_mode for one in (case.before, case))))
        pooled("host", "port", "security", "verify", "username")(case)

    judged(run, select=POOLS)
    assert len(told) == 3
    for before, case, lax, strict in told:
        assert (case.security, case.verify, strict) == ("starttls", "full", ssl.CERT_REQUIRED)
        assert (before.host, before.port) == (case.host, case.port)
        differs = [name for name in ("security", "verify", "username") if getattr(before, name) != getattr(case, name)]
        assert len(differs) == 1
        assert (lax is ssl.CERT_NONE) is (differs == ["verify"])
        assert (before.password == case.password) is (differs != ["username"])


def reconnecting(second):
    """Return a client that sends once more when its connection was cut, with *second* instead of STARTTLS."""

    def run(case):
        try:
            pooled("host")(WithoutEarlier(case))
        except smtplib.SMTPServerDisconnected:
            with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
                second(client, case)
                client.sendmail(case.sender, [case.recipient], "Subject: x\r\n\r\nx\r\n")

    return run


def opportunistic(client, case):
    client.ehlo()
    if client.has_extn("starttls"):
        client.starttls(context=case.ssl_context())
        client.ehlo()
    client.login(case.username, case.password)


@pytest.mark.parametrize(
    ("second", "verdict"),
    [
        (opportunistic, VIOLATION),
        (lambda client, case: client.starttls(context=case.ssl_context()), PASS),
    ],
)
def test_who_connects_again_asks_for_as_much(second, verdict):
    name = "reconnect-after-drop"
    row = judged(reconnecting(second), select=[name])[name, "starttls"]
    assert row.verdict is verdict, row.judgements
    assert [j.rule for j in row.judgements] == ["starttls-required-is-required"]


def test_a_declared_opportunist_may_connect_again_without_tls_and_keeps_its_password():
    def silent(client, case):
        client.ehlo()

    name = "reconnect-after-drop"
    row = judged(reconnecting(silent), select=[name], starttls="opportunistic")[name, "starttls"]
    assert row.verdict is NOTE


# A connection that somebody else opened.


class Given(smtplib.SMTP):
    """smtplib on a socket that it did not open."""

    def __init__(self, connection, **how):
        self._connection = connection
        super().__init__(**how)

    def _get_socket(self, *_):
        return self._connection


def on_a_given_connection(wrap):
    def run(case):
        connection = case.connection
        if connection is None:
            pooled("host")(WithoutEarlier(case))
            return
        with (
            contextlib.closing(wrap(connection, case)) as secured,
            Given(secured, host=case.host, port=case.port, timeout=case.timeout) as client,
        ):
            client.login(case.username, case.password)

    return run


@pytest.mark.parametrize(
    ("wrap", "verdict"),
    [
        (lambda connection, case: case.ssl_context().wrap_socket(connection, server_hostname=case.host), PASS),
        (lambda connection, _case: connection, VIOLATION),
    ],
)
def test_implicit_tls_on_a_connection_that_is_open_already(wrap, verdict):
    name = "implicit-mode-over-supplied-socket"
    row = judged(on_a_given_connection(wrap), select=[name], securities=(Security.IMPLICIT,))[name, "implicit"]
    assert row.verdict is verdict, row.judgements
    assert [j.rule for j in row.judgements] == ["tls-really-started"]
    plain = judged(pooled("host"), select=[name], securities=(Security.IMPLICIT,))[name, "implicit"]
    assert plain.verdict is NOT_APPLICABLE


# What is said about a refused login.

ECHO = "cross-protocol-reflect"


def log_in(case):
    implicit = case.security == "implicit"
    client = (
        poplib.POP3_SSL(case.host, case.port, timeout=case.timeout, context=case.ssl_context())
        if implicit
        else poplib.POP3(case.host, case.port, timeout=case.timeout)
    )
    with contextlib.closing(client):
        if not implicit:
            client.stls(context=case.ssl_context())
        client.user(case.username)
        client.pass_(case.password)
        client.quit()


def reports(case):
    try:
        log_in(case)
    except poplib.error_proto as error:
        case.report(error=f"the server said: {error}")


def reports_deep_inside(case):
    try:
        log_in(case)
    except poplib.error_proto as error:
        case.report(error="refused", log=[{"server": str(error)}])


def is_discreet(case):
    try:
        log_in(case)
    except poplib.error_proto:
        case.report(error="the server refused the login")


@pytest.mark.parametrize(
    ("run", "verdict"), [(log_in, NOTE), (reports, VIOLATION), (reports_deep_inside, VIOLATION), (is_discreet, PASS)]
)
def test_what_a_client_says_about_a_refusal_that_repeats_its_password(run, verdict):
    row = judged(run, select=[ECHO], protocol=Protocol.POP3)[ECHO, "starttls"]
    assert row.verdict is verdict
    assert [j.rule for j in row.judgements] == ["secrets-not-logged"]
    assert "not understood" in row.transcript.lower()
    assert "PASS <password>" in row.transcript


PROGRAM = textwrap.dedent("""
    import poplib, ssl, sys
    host, port, user, password, cafile, says, *status = sys.argv[1:]
    client = poplib.POP3(host, int(port), timeout=5)
    client.stls(context=ssl.create_default_context(cafile=cafile))
    try:
        client.user(user)
        client.pass_(password)
        client.quit()
    except poplib.error_proto as error:
        print({"everything": error, "part": "refused", "base64": "later"}[says])
        if says == "base64":
            import base64
            print(base64.b64encode(str(error).encode()).decode())
        client.close()
        sys.exit(int(*status))
""")


@pytest.mark.parametrize("status", ["0", "1"])
@pytest.mark.parametrize(("says", "verdict"), [("everything", VIOLATION), ("base64", VIOLATION), ("part", PASS)])
def test_what_a_program_prints_is_read_before_it_is_cut_and_hidden(says, verdict, status):
    values = ("{host}", "{port}", "{username}", "{password}", "{cafile}", says, status)
    client = command_client(
        (sys.executable, "-c", PROGRAM, *values), Protocol.POP3, (Security.STARTTLS,), Declaration(timeout=5.0)
    )
    row = judged(client, select=[ECHO])[ECHO, "starttls"]
    assert row.verdict is verdict, row.judgements
    assert verdict is PASS or "what the client printed held the secret" in row.judgements[0].finding.evidence
