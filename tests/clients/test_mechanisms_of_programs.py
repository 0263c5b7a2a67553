"""Every mechanism through programs and libraries that nobody here wrote: they log in, or they are refused.

What is asserted is what the servers saw and answered, and that the client reports success or failure. A client that
is not installed, or was built without a mechanism, is a skip with that reason.
"""

from __future__ import annotations

import base64
import gc
import itertools
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, NamedTuple

import programs_that_authenticate as programs
import pytest

from pytest_mailauth import AuthPolicy, MailServers, TLSPolicy
from pytest_mailauth.model.canary import encodings
from pytest_mailauth.model.config import MECHANISMS, PROOF_MECHANISMS, TOKEN_MECHANISMS
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.terms import HandshakeOutcome, Layer

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord

AT_ONCE = 4
NOT_IT = "not-it"
WRONG_IS_IMPOSSIBLE = ("ANONYMOUS",)
REFUSED = {"smtp": "535 5.7.8 ", "pop3": "-ERR [AUTH] ", "imap": " NO [AUTHENTICATIONFAILED] "}
ERROR = base64.b64encode(b'{"status": "').decode()
"""How the challenge begins that tells the refusal of a token, in whole groups of base64."""


class Combination(NamedTuple):
    client: str
    protocol: str
    security: str
    mechanism: str
    wrong: bool

    def __str__(self):
        return f"{self.client}-{self.mechanism}-{self.protocol}-{self.security}{'-wrong' * self.wrong}"


class Outcome(NamedTuple):
    missing: str | None
    reported: str | None
    """None when the client reports success, else its words."""
    sessions: tuple[SessionRecord, ...] = ()


COMBINATIONS = [
    Combination(client, protocol, security, mechanism, wrong)
    for client, protocols, securities, mechanisms in programs.ROWS
    for protocol, security, mechanism, wrong in itertools.product(protocols, securities, mechanisms, (False, True))
    if not (wrong and mechanism in WRONG_IS_IMPOSSIBLE)
]


# gsasl alone has these mechanisms, and it speaks neither POP3 nor TLS from the first byte.
NOBODY_SPEAKS = {
    (mechanism, protocol, security)
    for mechanism in ("SCRAM-SHA-256-PLUS", "ANONYMOUS")
    for protocol, security in (("pop3", "starttls"), *((protocol, "implicit") for protocol in REFUSED))
} | {("ANONYMOUS", "pop3", "none")}
NEEDS_TLS = ("EXTERNAL", "SCRAM-SHA-256-PLUS")


def served(servers, combination):
    """Return a server that takes nothing but the mechanism."""
    _, protocol, security, mechanism, _ = combination
    tls = TLSPolicy(
        client_certificate="required" if mechanism == "EXTERNAL" else "none",
        # gsasl binds to tls-exporter in TLS 1.3, and to tls-unique in TLS 1.2: one over each protocol that it speaks.
        max_version="1.2" if mechanism.endswith("-PLUS") and protocol == "imap" else None,
    )
    before_tls = (mechanism,) if security == "none" else ()
    auth = AuthPolicy(mechanisms=(mechanism,), before_tls=before_tls, password_commands="never")
    return getattr(servers, protocol)(security=security, tls=tls, auth=auth)


def visit(servers, folder, combination):
    folder.mkdir()
    client, protocol, security, mechanism, wrong = combination
    account = servers.store.accounts[-1]
    owner = "nobody@example.test" if wrong else account.username
    issued = servers.ca.issue_client(owner)
    certificate = folder / "client.pem"
    certificate.touch(mode=0o600)
    certificate.write_bytes(issued.key_pem + issued.chain_pem)
    with served(servers, combination) as server:
        errand = programs.Errand(
            protocol=protocol,
            security=security,
            mechanism=mechanism,
            host=server.host,
            port=server.port,
            username=account.username,
            password=NOT_IT if wrong else account.password,
            token=NOT_IT[::-1] if wrong else account.token,
            cafile=server.cafile,
            certificate=certificate,
            folder=folder,
        )
        try:
            reported = programs.refusal(client, errand)
        except programs.Missing as missing:
            return Outcome(str(missing), None)
        server.drain(programs.DEADLINE)
        return Outcome(None, reported, server.sessions)


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """Run the combinations that were asked for, several at a time; return what became of each."""
    home = tmp_path_factory.mktemp("homes")
    wanted = [
        item.callspec.params["combination"]
        for item in request.session.items
        if item.module is request.module and hasattr(item, "callspec")
    ]
    with MailServers() as servers:
        servers.add_account("somebody@example.test", username="alice")  # a login name that is no address
        with warnings.catch_warnings(), ThreadPoolExecutor(AT_ONCE) as pool:
            # A library that drops a socket when it was refused is not ours to mend.
            warnings.simplefilter("ignore", ResourceWarning)
            running = {
                combination: pool.submit(visit, servers, home / str(number), combination)
                for number, combination in enumerate(dict.fromkeys(wanted))
            }
            wait(running.values())
            gc.collect()
        yield running


@pytest.fixture
def outcome(outcomes, combination):
    found = outcomes[combination].result()
    if found.missing:
        pytest.skip(found.missing)
    return found


def test_the_table_says_what_no_client_speaks():
    sasl = [name for name in MECHANISMS if name != "APOP"]
    everything = {
        *itertools.product(sasl, REFUSED, programs.BOTH),
        *itertools.product(["APOP"], ["pop3"], (*programs.BOTH, *programs.CLEAR)),
        *itertools.product([name for name in sasl if name not in NEEDS_TLS], REFUSED, programs.CLEAR),
    }
    assert everything - {(c.mechanism, c.protocol, c.security) for c in COMBINATIONS} == NOBODY_SPEAKS


def presented(session):
    return [(fact.mechanism, fact.accepted) for fact in session.auth]


@pytest.mark.parametrize("combination", [c for c in COMBINATIONS if not c.wrong], ids=str)
def test_it_logs_in(outcome, combination):
    assert outcome.reported is None
    (session,) = outcome.sessions
    account = session.accounts[-1]
    assert presented(session) == [(combination.mechanism, True)]
    in_clear = combination.security == "none"
    assert session.auth == session.of(Authentication, Layer.CLEAR if in_clear else Layer.TLS)
    assert session.auth[0].identity == ("trace" if combination.mechanism == "ANONYMOUS" else account.username)
    assert in_clear or session.tls.outcome is HandshakeOutcome.COMPLETED
    if combination.mechanism in (*PROOF_MECHANISMS, "APOP"):
        assert session.auth[0].secret == ""
        streams = session.clear_in + session.tls_in
        assert [name for name, form in encodings(account.password) if form in streams] == []


@pytest.mark.parametrize("combination", [c for c in COMBINATIONS if c.wrong], ids=str)
def test_wrong_credentials_are_refused_with_the_documented_reply(outcome, combination):
    assert outcome.reported is not None
    facts = [one for session in outcome.sessions for one in presented(session)]
    assert set(facts) == {(combination.mechanism, False)}
    for session in outcome.sessions:
        said = (session.clear_out + session.tls_out).decode()
        left_at_the_challenge = combination.mechanism in TOKEN_MECHANISMS and ERROR in said.splitlines()[-1]
        assert REFUSED[combination.protocol] in said or left_at_the_challenge
