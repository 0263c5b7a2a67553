"""Clients that try to look obedient, and honest ones of another make: verdicts are earned, in both directions."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from itertools import count
from time import monotonic

import pytest
from trying import encoded, tried

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.trialrun import LINGER
from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.terms import Certificate, PortState, Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration, Outcome, Trial

QUICK = [
    "base-starttls-ok",
    "starttls-not-offered",
    "starttls-offered-454",
    "cert-self-signed",
    "tls10-only",
    "port-refuse",
]


def judged(run, *, select=QUICK, **how):
    return tried(run, select, **how)


def verifying(case, **versions):
    context = case.ssl_context()
    for name, value in versions.items():
        setattr(context, name, value)
    send(case, context)


def send(case, context):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=context)
        client.login(case.username, case.password)


def never_connects(case):
    raise OSError(f"connection to {case.host}:{case.port} refused")


def connects_and_leaves(case):
    socket.create_connection((case.host, case.port), timeout=case.timeout).close()


def says_hello_and_leaves(case):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.ehlo()


def starts_tls_and_never_logs_in(case):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=case.ssl_context())


def uses_a_wrong_password(case):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.starttls(context=case.ssl_context())
        client.login(case.username, "guess")


@pytest.mark.parametrize(
    "saint",
    [never_connects, connects_and_leaves, says_hello_and_leaves, starts_tls_and_never_logs_in, uses_a_wrong_password],
)
def test_a_client_that_cannot_log_in_earns_no_pass(saint):
    rows = judged(saint)
    assert [row.verdict for row in rows.values()] == [Verdict.ERROR]
    assert "did not log in to the honest server" in rows["base-starttls-ok"].judgements[0].finding.evidence


def test_a_client_that_works_once_and_then_plays_dead_earns_no_pass():
    runs = count()

    def works_once(case):
        if next(runs) == 0:
            verifying(case)

    rows = judged(works_once)
    assert {row.verdict for row in rows.values()} <= {Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE}


def test_a_client_that_stops_working_on_the_way_keeps_no_pass():
    runs = count()

    def works_for_a_while(case):
        if next(runs) > len(QUICK):
            raise OSError("worn out")
        verifying(case)

    rows = judged(works_for_a_while)
    assert Verdict.PASS not in {row.verdict for row in rows.values()}
    assert "the closing control failed" in rows["starttls-not-offered"].judgements[0].finding.evidence


def test_a_violation_stands_even_when_the_closing_control_fails():
    runs = count()

    def careless(case):
        if next(runs) > len(QUICK):
            raise OSError("worn out")
        send(case, ssl._create_unverified_context())

    assert judged(careless)["cert-self-signed"].verdict is Verdict.VIOLATION


def test_a_leak_in_a_scenario_about_something_else_is_caught():
    def leaks_when_the_certificate_is_bad(case):
        try:
            verifying(case)
        except ssl.SSLCertVerificationError:
            with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
                client.docmd("AUTH", f"PLAIN {case.password}")
            raise

    row = judged(leaks_when_the_certificate_is_bad)["cert-self-signed"]
    assert row.verdict is Verdict.VIOLATION
    assert [j.rule for j in row.judgements if j.finding.verdict is Verdict.VIOLATION] == ["no-cleartext-credentials"]


def test_a_password_where_no_parser_looks_is_found_by_the_search():
    def hides_it_in_the_hello(case):
        with smtplib.SMTP(case.host, case.port, local_hostname=f"{case.password}.test", timeout=case.timeout) as client:
            client.starttls(context=case.ssl_context())
            client.login(case.username, case.password)

    row = judged(hides_it_in_the_hello)["base-starttls-ok"]
    assert row.verdict is Verdict.VIOLATION
    assert "outside any login command" in row.judgements[-1].finding.evidence


def test_passing_by_hanging_is_not_obedience():
    def hangs_on_a_bad_certificate(case):
        try:
            verifying(case)
        except ssl.SSLCertVerificationError:
            with socket.create_connection((case.host, case.port)) as connection:
                connection.recv(1000)
                connection.recv(1000)  # until it is cut off
            raise

    row = judged(hangs_on_a_bad_certificate)["cert-self-signed"]
    assert row.verdict is not Verdict.PASS


@pytest.mark.parametrize(("version", "scenario"), [("TLSv1_2", "tls13-only"), ("TLSv1_3", "tls12-only")])
def test_one_modern_version_alone_is_a_note(version, scenario):
    value = getattr(ssl.TLSVersion, version)
    rows = judged(
        lambda case: verifying(case, minimum_version=value, maximum_version=value), select=["tls12-only", "tls13-only"]
    )
    other = next(name for name in rows if name != scenario)
    assert rows[scenario].verdict is Verdict.NOTE
    assert rows[other].verdict is Verdict.PASS


def test_a_declared_floor_of_13_makes_refusing_12_obedience():
    value = ssl.TLSVersion.TLSv1_3
    rows = judged(lambda case: verifying(case, minimum_version=value), select=["tls12-only"], min_tls="1.3")
    assert rows["tls12-only"].verdict is Verdict.PASS


def test_a_client_declared_not_to_verify_gets_notes():
    rows = judged(lambda case: send(case, ssl._create_unverified_context()), verify="none")
    assert rows["cert-self-signed"].verdict is Verdict.NOTE
    assert "declared not to verify" in rows["cert-self-signed"].judgements[0].finding.evidence


def anonymous(case):
    context = ssl._create_unverified_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    send(case, context)


def test_anonymous_suites_are_what_a_client_that_does_not_verify_may_use():
    rows = judged(anonymous, select=["cipher-anonymous"], verify="none")
    assert rows["cipher-anonymous"].verdict is Verdict.NOTE
    assert judged(anonymous, select=["cipher-anonymous"])["cipher-anonymous"].verdict is Verdict.VIOLATION


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_without_anonymous_suites_gives_nothing_to_a_server_without_a_certificate(version):
    value = getattr(ssl.TLSVersion, version)
    row = judged(lambda case: verifying(case, minimum_version=value), select=["cipher-anonymous"])["cipher-anonymous"]
    assert row.verdict is Verdict.PASS


def opportunistic(case, *, log_in):
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
        client.ehlo()
        if client.has_extn("starttls"):
            client.starttls(context=case.ssl_context())
            client.ehlo()
        if log_in or client.sock.__class__ is not socket.socket:
            client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: x\r\n\r\n")


def test_opportunistic_by_declaration_may_go_on_in_clear_without_a_password():
    rows = judged(lambda case: opportunistic(case, log_in=False), starttls="opportunistic")
    assert rows["starttls-not-offered"].verdict is Verdict.NOTE


def test_opportunistic_with_a_password_in_clear_is_a_violation():
    rows = judged(lambda case: opportunistic(case, log_in=True), starttls="opportunistic")
    assert rows["starttls-not-offered"].verdict is Verdict.VIOLATION


def empty_trial(**served):
    config = ServerConfig(protocol="imap", **served)
    return Trial(
        protocol=Protocol.IMAP,
        security=Security(config.security),
        declared=Declaration(),
        served=config,
        account=Account.fresh(),
        sessions=(),
        outcome=Outcome(),
        may_switch=True,
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "served",
    [{}, {"security": "implicit"}, {"certificate": Certificate.EXPIRED}, {"port_state": PortState.REFUSED}],
    ids=["honest", "implicit", "expired", "refused"],
)
def test_no_rule_passes_on_nothing(rule, served):
    finding = RULES[rule].check(empty_trial(**served))
    assert finding.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE)
    assert finding.evidence


def test_a_token_in_clear_is_a_leak_like_a_password():
    def sends_the_token_first(case):
        with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
            client.ehlo()
            client.docmd("AUTH", f"XOAUTH2 {xoauth2(case)}")
            client.starttls(context=case.ssl_context())
            client.ehlo()
            client.docmd("AUTH", f"XOAUTH2 {xoauth2(case)}")

    row = judged(sends_the_token_first, select=["base-opportunistic-setup", "base-oauth-ok"], auth="oauth")
    assert {name: r.verdict for name, r in row.items()} == dict.fromkeys(row, Verdict.VIOLATION)
    assert "the token crossed in clear with XOAUTH2" in row["base-oauth-ok"].judgements[-1].finding.evidence


def xoauth2(case):
    return encoded(f"user={case.username}\x01auth=Bearer {case.token}\x01\x01")


def test_a_client_with_tokens_is_refused_its_password():
    rows = judged(verifying, select=["base-oauth-ok"], auth="oauth")
    assert rows["base-starttls-ok"].verdict is Verdict.ERROR


def test_what_a_client_reports_is_redacted():
    def tells_all(case):
        case.report(error=f"refused for {case.password}", seen=[{"token": f"it was {case.token}"}])
        verifying(case)

    row = judged(tells_all, select=["port-refuse"])["port-refuse"]
    assert "refused for <password>" in row.judgements[0].finding.evidence


def turns_to_the_other_port(case, *, requires_tls, password):
    """Try the port that was given, then the other one of the account."""
    try:
        verifying(case)
    except OSError:
        if case.fallback_port is None:
            raise
    else:
        return
    with smtplib.SMTP(case.host, case.fallback_port, timeout=case.timeout) as client:
        if requires_tls:
            client.starttls(context=case.ssl_context())
        if password:
            client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: x\r\n\r\n")


@pytest.mark.parametrize("name", ["port-587-blocked-25-clear", "retry-after-cert-failure"])
@pytest.mark.parametrize(
    ("habits", "declared", "verdict"),
    [
        ({"requires_tls": False, "password": True}, {}, Verdict.VIOLATION),
        ({"requires_tls": False, "password": False}, {}, Verdict.VIOLATION),
        # The same demands on another port are no weakness, and what the user allowed is none.
        ({"requires_tls": True, "password": True}, {}, Verdict.NOTE),
        ({"requires_tls": False, "password": False}, {"starttls": "opportunistic"}, Verdict.NOTE),
        ({"requires_tls": False, "password": True}, {"starttls": "opportunistic"}, Verdict.VIOLATION),
        (
            {"requires_tls": False, "password": True},
            {"starttls": "opportunistic", "allow_insecure_auth": True},
            Verdict.NOTE,
        ),
    ],
)
def test_turning_from_a_starttls_port_to_a_weaker_one(name, habits, declared, verdict):
    row = judged(lambda case: turns_to_the_other_port(case, **habits), select=[name], **declared)[name]
    assert row.verdict is verdict, row.judgements
    assert [j.rule for j in row.judgements] == ["no-silent-port-switch"]
    assert "connection" in row.transcript


def test_a_client_that_accepts_the_certificate_has_no_reason_to_turn_elsewhere():
    name = "retry-after-cert-failure"
    careless = ssl._create_unverified_context()
    row = judged(lambda case: send(case, careless), select=[name], fallback="other-port")[name]
    assert row.verdict is Verdict.NOT_APPLICABLE
    assert "went on inside TLS" in row.judgements[0].finding.evidence


@pytest.mark.parametrize("name", ["port-587-blocked-25-clear", "retry-after-cert-failure"])
def test_a_client_that_knows_no_other_port_cannot_turn_to_it(name):
    # One that meets real port numbers may know the others by itself; at a free port of localhost it cannot.
    assert judged(verifying, select=[name])[name].verdict is Verdict.PASS
    row = judged(verifying, select=[name], reach=None)[name]
    assert row.verdict is Verdict.NOT_APPLICABLE
    assert "knows one port only" in row.judgements[0].finding.evidence


def test_a_client_that_never_saw_the_certificate_proves_nothing():
    def gives_up_at_the_second_visit(case):
        if next(runs) in (1, 2):  # what proves nothing is run once more
            connects_and_leaves(case)
            raise OSError(f"connection to {case.host}:{case.port} refused")
        verifying(case)

    runs = count()
    name = "retry-after-cert-failure"
    row = judged(gives_up_at_the_second_visit, select=[name], fallback="other-port")[name]
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "never began a TLS handshake" in row.judgements[0].finding.evidence


def test_a_retry_in_clear_by_a_thread_that_the_client_left_behind_is_seen():
    def goes_on_later(case):
        client_itself = threading.current_thread()

        def retry():
            client_itself.join()
            with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as client:
                client.login(case.username, case.password)

        try:
            verifying(case)
        except smtplib.SMTPException:
            threading.Thread(target=retry).start()
            raise

    row = judged(goes_on_later, select=["starttls-not-offered"])["starttls-not-offered"]
    assert row.verdict is Verdict.VIOLATION
    assert "the client went on in clear" in row.judgements[0].finding.evidence


def test_waiting_for_a_thread_that_never_ends_is_no_time_of_the_client():
    stop = threading.Event()
    took = []

    def leaves_a_thread(case):
        start = monotonic()
        threading.Thread(target=stop.wait).start()
        try:
            verifying(case)
        finally:
            took.append(monotonic() - start)

    try:
        row = judged(leaves_a_thread, select=["starttls-not-offered"])["starttls-not-offered"]
    finally:
        stop.set()
    assert row.verdict is Verdict.PASS
    assert row.seconds < took[1] + LINGER
