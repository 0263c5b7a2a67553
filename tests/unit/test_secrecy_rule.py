"""Where the rule about secrets looks: in what was said and logged, in the message, and in names."""

from __future__ import annotations

import pytest
from recorded_trials import ACCOUNT, CLEAR, PASSWORD, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import Secret
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.model.trial import Outcome

PASS, VIOLATION, INCONCLUSIVE = Verdict.PASS, Verdict.VIOLATION, Verdict.INCONCLUSIVE
OPENED = (CLEAR, e.Opened("127.0.0.1:1"))
LOGIN = (TLS, e.Authentication("PLAIN", ACCOUNT.username, Secret(PASSWORD), accepted=True))


def judged(*facts, outcome=None):
    return RULES["secrets-not-logged"].check(recorded([OPENED, *facts], outcome=outcome)).verdict


def test_a_client_that_kept_its_secret_to_the_login_passes():
    assert judged(LOGIN) is PASS
    assert judged(outcome=Outcome(error="TLSFailed: not trusted")) is PASS
    assert judged() is INCONCLUSIVE
    assert judged(LOGIN, outcome=Outcome(disclosed=("logged",))) is VIOLATION


@pytest.mark.parametrize(
    "facts",
    [
        [(TLS, e.Sent(b"354 go\r\n")), (TLS, e.Received(f"X-Config: {PASSWORD}\r\n".encode()))],
        [(TLS, e.Command("EHLO", f"{PASSWORD}.test".encode(), "EHLO"))],
        [(CLEAR, e.HelloSeen(ClientHello("1.2", raw=PASSWORD.encode())))],
    ],
)
def test_a_secret_in_the_message_or_in_a_name_is_a_violation(facts):
    assert judged(LOGIN, *facts) is VIOLATION


def test_what_follows_the_message_is_no_part_of_it():
    taken = [(TLS, e.Sent(b"354 go\r\n")), (TLS, e.Received(b".\r\n")), (TLS, e.Sent(b"250 fine\r\n"))]
    assert judged(*taken, (TLS, e.Received(f"AUTH {PASSWORD}\r\n".encode())), LOGIN) is PASS
