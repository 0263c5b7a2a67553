"""What the rules about hints to other servers make of a record."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Answer
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.webrequests import WebRequest

IMAP = Protocol.IMAP
REFERRAL, TOKEN = "no-automatic-referral", "token-stays-with-its-host"
DECOY = "localhost:40143"
NAMED = e.Sent(f"A1 NO [REFERRAL imap://{DECOY}/] elsewhere\r\n".encode())
CONNECTED = (CLEAR, e.Opened("127.0.0.1:1"))


def trial(*main, decoy=None, address=DECOY, protocol=IMAP, requests=(), security=Security.STARTTLS):
    """Return the trial of a client with a session at the main server, and one at the decoy when it went there."""
    made = recorded(list(main), *([] if decoy is None else [list(decoy)]), protocol=protocol, security=security)
    sessions = tuple(replace(s, listener="main" if s.number == 1 else "decoy") for s in made.sessions)
    return replace(made, sessions=sessions, decoy=address, requests=requests)


def said(name, *main, **kwargs):
    return RULES[name].check(trial(*main, **kwargs))


def secret(layer, text):
    return (layer, e.Received(f"A1 LOGIN alice {text}\r\n".encode()))


@pytest.mark.parametrize("name", [REFERRAL, TOKEN])
def test_a_client_that_stays_has_obeyed(name):
    assert said(name, (TLS, NAMED)).verdict is Verdict.PASS


@pytest.mark.parametrize("name", [REFERRAL, TOKEN])
def test_without_a_hint_nothing_is_proved(name):
    assert said(name, (TLS, e.Sent(b"A1 OK\r\n"))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", [REFERRAL, TOKEN])
def test_a_connection_alone_is_noted(name):
    assert said(name, (TLS, NAMED), decoy=[CONNECTED]).verdict is Verdict.NOTE


def test_a_connection_is_too_much_when_anybody_may_have_named_the_server():
    finding = said(REFERRAL, (CLEAR, NAMED), decoy=[CONNECTED])
    assert finding.verdict is Verdict.VIOLATION
    assert "before TLS" in finding.evidence


@pytest.mark.parametrize(
    ("name", "layer", "kind", "verdict"),
    [
        (REFERRAL, CLEAR, "password", Verdict.VIOLATION),
        (REFERRAL, TLS, "password", Verdict.NOTE),
        (TOKEN, CLEAR, "token", Verdict.VIOLATION),
        (TOKEN, TLS, "token", Verdict.VIOLATION),
    ],
)
def test_what_is_shown_to_the_other_server(name, layer, kind, verdict):
    shown = secret(layer, ACCOUNT.secrets[kind])
    assert said(name, (TLS, NAMED), decoy=[CONNECTED, shown]).verdict is verdict


@pytest.mark.parametrize("name", [REFERRAL, TOKEN])
def test_secrets_at_the_server_itself_are_not_its_matter(name):
    assert said(name, secret(TLS, PASSWORD), (TLS, NAMED)).verdict is Verdict.PASS


def test_work_in_clear_at_the_other_server_is_a_breach_without_a_password():
    mail = (CLEAR, e.Command("MAIL", b"FROM:<a@b>", "MAIL FROM:<a@b>"))
    finding = said(REFERRAL, (TLS, NAMED), decoy=[CONNECTED, mail], protocol=Protocol.SMTP)
    assert finding.verdict is Verdict.VIOLATION
    assert "MAIL FROM" in finding.evidence


FORWARD = "decoy.example.test:587"
REFUSED = (TLS, e.Sent(b"551 5.1.6 User not local; please try <bob@decoy.example.test>\r\n"))


@pytest.mark.parametrize(
    ("recipient", "verdict"), [(b"TO:<bob@decoy.example.test>", Verdict.NOTE), (b"TO:<bob@here.test>", Verdict.PASS)]
)
def test_writing_to_the_address_of_a_551_is_noted(recipient, verdict):
    again = (TLS, e.Command("RCPT", recipient, "RCPT"))
    assert said(REFERRAL, REFUSED, again, address=FORWARD, protocol=Protocol.SMTP).verdict is verdict


def test_a_name_that_both_servers_share_names_nobody():
    greeting = (TLS, e.Sent(b"220 localhost ESMTP\r\n"))
    assert said(REFERRAL, greeting).verdict is Verdict.INCONCLUSIVE


def test_leaving_at_preauth_before_tls_is_obedience():
    greeting = (CLEAR, e.Sent(b"* PREAUTH ready\r\n"))
    assert said(REFERRAL, greeting).verdict is Verdict.PASS
    assert said(REFERRAL, greeting, security=Security.IMPLICIT).verdict is Verdict.INCONCLUSIVE


CHALLENGE = base64.b64encode(
    json.dumps({"status": "invalid_token", "openid-configuration": f"http://{DECOY}/"}).encode()
)


@pytest.mark.parametrize(
    ("requests", "verdict"),
    [
        ((), Verdict.PASS),
        ((WebRequest(scheme="http", host="localhost", method=None),), Verdict.PASS),
        ((WebRequest(scheme="http", host="localhost"),), Verdict.NOTE),
        (
            (WebRequest(scheme="http", host="localhost", carried=(("token", "Authorization"),)),),
            Verdict.VIOLATION,
        ),
    ],
)
def test_what_a_web_server_in_an_error_challenge_is_asked(requests, verdict):
    assert said(TOKEN, (TLS, e.Sent(b"+ " + CHALLENGE + b"\r\n")), requests=requests).verdict is verdict


@pytest.mark.parametrize(("verb", "verdict"), [("LOGIN", Verdict.NOT_APPLICABLE), ("SELECT", Verdict.INCONCLUSIVE)])
def test_a_client_that_never_gives_the_command_is_not_judged(verb, verdict):
    made = trial((TLS, e.Command(verb, b"", verb)))
    answer = Answer(verb="SELECT", reply=b"{tag} NO [REFERRAL imap://elsewhere/]\r\n", over_tls=True)
    made = replace(made, served=replace(made.served, deviations=(answer,)))
    assert RULES[REFERRAL].check(made).verdict is verdict
