"""How long a line may be: refused where the documents draw the line, or taken and noted by a lenient server."""

from __future__ import annotations

import base64
from typing import NamedTuple

import pytest
from engine_talk import deliver

from pytest_mailauth import AuthPolicy, ConfigError
from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.events import Authentication, Malformed, Stored
from pytest_mailauth.servers.engines.contract import Send
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.server import engine_of

ACCOUNT = Account.fresh()
BEFORE = {"smtp": b"EHLO x\r\n", "pop3": b"", "imap": b""}
BEGUN = {"smtp": b"AUTH XOAUTH2\r\n", "pop3": b"AUTH XOAUTH2\r\n", "imap": b"a AUTHENTICATE XOAUTH2\r\n"}
PASSED = {"smtp": b"235 ", "pop3": b"+OK maildrop", "imap": b"a OK "}


def engine(protocol, line_limits, mechanism="XOAUTH2"):
    account = Account(ACCOUNT.username, ACCOUNT.password, ACCOUNT.address)
    auth = AuthPolicy(mechanisms=(mechanism,), accept_token=lambda _token, _account: True)
    config = ServerConfig(protocol=protocol, security="implicit", auth=auth, line_limits=line_limits)
    made = engine_of(config.protocol)(Policy(config, (account,)), MailStore((account,)), over_tls=True)
    made.greet()
    return made


def said(outputs):
    return b"".join(output.data for output in outputs if isinstance(output, Send))


def of(outputs, kind):
    return [output for output in outputs if isinstance(output, kind)]


class Case(NamedTuple):
    protocol: str
    longest: int
    """Bytes of the longest line that the documents allow, line end included."""
    head: bytes
    """How the line begins; a response in the next line has none."""
    refusal: bytes

    def log_in(self, size, line_limits):
        """Return what follows when a login's line is *size* bytes long."""
        made = engine(self.protocol, line_limits)
        room = size - len(self.head) - 2
        # The name is padded, so that the length of base64 comes out, whatever it is.
        blank = b"user=%b\x01auth=Bearer \x01\x01" % ACCOUNT.username.encode()
        response = base64.b64encode(blank.replace(b"Bearer ", b"Bearer " + b"t" * (room * 3 // 4 - len(blank))))
        line = self.head + response + b"\r\n"
        assert len(line) == size
        data = BEFORE[self.protocol] + (b"" if self.head else BEGUN[self.protocol]) + line
        return deliver(made, [data])


CASES = {
    "SMTP AUTH": Case("smtp", 12_288, b"AUTH XOAUTH2 ", b"500 5.5.2 "),
    "SMTP response": Case("smtp", 12_288, b"", b"500 5.5.6 "),
    "POP3 AUTH": Case("pop3", 255, b"AUTH XOAUTH2 ", b"-ERR "),
    "POP3 response": Case("pop3", 12_288, b"", b"-ERR "),
    "IMAP AUTHENTICATE": Case("imap", 8192, b"a AUTHENTICATE XOAUTH2 ", b"BAD "),
    "IMAP response": Case("imap", 8192, b"", b"BAD "),
}


def up_to(case, size):
    """Return the greatest length of at most *size* that a line of base64 can have."""
    room = size - len(case.head) - 2
    return size - room % 4


def beyond(case, size):
    return up_to(case, size) + 4


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("line_limits", ["strict", "lenient"])
def test_a_line_of_the_greatest_length_is_taken(name, line_limits):
    case = CASES[name]
    outputs = case.log_in(up_to(case, case.longest), line_limits)
    assert PASSED[case.protocol] in said(outputs)
    assert of(outputs, Malformed) == []


@pytest.mark.parametrize("name", CASES)
def test_a_longer_line_is_refused_by_a_strict_server(name):
    case = CASES[name]
    outputs = case.log_in(beyond(case, case.longest), "strict")
    assert case.refusal in said(outputs)
    assert PASSED[case.protocol] not in said(outputs)
    assert len(of(outputs, Malformed)) == 1
    assert [fact for fact in of(outputs, Authentication) if fact.accepted] == []


@pytest.mark.parametrize("name", CASES)
def test_a_longer_line_is_noted_by_a_lenient_server(name):
    case = CASES[name]
    outputs = case.log_in(beyond(case, case.longest), "lenient")
    assert PASSED[case.protocol] in said(outputs)
    assert len(of(outputs, Malformed)) == (name != "POP3 response")  # RFC 5034 section 4 sets no limit for it
    outputs = case.log_in(beyond(case, LENIENT_LIMIT + 4), "lenient")
    assert PASSED[case.protocol] not in said(outputs)


@pytest.mark.parametrize(
    ("size", "line_limits", "taken"), [(511, "strict", True), (512, "strict", False), (512, "lenient", True)]
)
def test_any_other_command_of_smtp(size, line_limits, taken):
    made = engine("smtp", line_limits)
    outputs = made.receive(b"NOOP " + b"x" * (size - 6) + b"\r\n")
    assert said(outputs).startswith(b"250" if taken else b"500 5.5.2 Line too long")
    assert len(of(outputs, Malformed)) == (size > 511)


@pytest.mark.parametrize("line_limits", ["strict", "lenient"])
def test_a_line_of_a_message(line_limits):
    made = engine("smtp", line_limits)
    made.receive(b"EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<%b>\r\nDATA\r\n" % ACCOUNT.address.encode())
    outputs = made.receive(b"x" * 1100 + b"\r\n.\r\n")
    assert [fact.size for fact in of(outputs, Stored)] == ([1102] if line_limits == "lenient" else [])
    assert len(of(outputs, Malformed)) == 1


def test_there_is_no_third_way():
    with pytest.raises(ConfigError, match=r"line_limits='loose'.*'strict', 'lenient'"):
        ServerConfig(protocol="smtp", line_limits="loose")
