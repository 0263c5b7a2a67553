"""What a client meets behind each port state: by hand on the bare socket, and with the clients of the standard library."""

import contextlib
import imaplib
import poplib
import smtplib
import socket
import ssl
from itertools import pairwise

import pytest
from wire_client import Wire, before_tls, only

from pytest_mailauth import AuthPolicy, CannotServe, ClientViolation, assert_not_authenticated, assert_obeys
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.model.events import Deviated, HandshakeEnded, HelloSeen, Received, Sent
from pytest_mailauth.model.portstates import RELAY_HOST, port_fact
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, PortState, Protocol
from pytest_mailauth.servers.behind import BANNERS, BEHIND, DRIP, Attempt

SHORT = 0.2
"""Seconds after which a client has waited long enough for something that must not come."""
TIMEOUT = 10.0


def test_every_port_state_has_its_row():
    assert set(BEHIND) == set(PortState)


def met(session):
    """Return the facts that show that the client met its port state."""
    return [fact for fact in session.of(Deviated) if fact.kind.startswith("port state")]


# In the middle of a handshake.


@pytest.mark.parametrize(("how", "error"), [("reset", ConnectionResetError), ("close", (ssl.SSLError, OSError))])
def test_a_handshake_is_cut_off_once_the_hello_was_read(serve, security, how, error):
    server = serve(security=security, port_state=f"handshake-{how}")
    with before_tls(server) as wire, pytest.raises(error) as failure:
        wire.wrap(server.ssl_context())
    assert isinstance(failure.value, ConnectionResetError) == (how == "reset")
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.SERVER_REFUSED
    assert session.tls.reason == f"port state handshake-{how}"
    assert session.tls.client_hello.server_name == "localhost"
    assert met(session) == [Deviated(f"port state handshake-{how}", "", b"")]
    kinds = [type(entry.fact) for entry in session.entries]
    assert kinds.index(HelloSeen) < kinds.index(Deviated) < kinds.index(HandshakeEnded)
    assert session.tls_in == session.tls_out == b""
    assert (session.closed.by, session.closed.how) == (("server", "reset") if how == "reset" else ("client", "close"))


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_begins_no_handshake_is_served(serve, how):
    server = serve(port_state=f"handshake-{how}")
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        assert wire.reply(wire.speech.last)
    assert met(only(server)) == []


def test_what_is_said_after_a_closed_handshake_counts(serve, security):
    server = serve(security=security, port_state="handshake-close")
    secret = server.account.password.encode()
    with before_tls(server) as wire:
        hello = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = server.ssl_context().wrap_bio(*hello, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        wire.send(hello[1].read())
        assert wire.segment() == b""
        wire.send(b"a1 LOGIN x " + secret + b"\r\n")
    assert secret in only(server).clear_in


# A box on the path.


@pytest.mark.parametrize("security", ["starttls", "implicit", "none"])
def test_a_banner_is_in_clear_whatever_the_mode(serve, security, protocol):
    server = serve(security=security, port_state="banner")
    with Wire(server) as wire:
        assert wire.rest() == BANNERS[protocol]
    session = only(server)
    assert met(session) == [Deviated("port state banner", "", BANNERS[protocol])]
    assert session.clear_out == BANNERS[protocol]
    assert session.tls is None


@pytest.mark.parametrize(
    ("protocol", "begins"),
    [("smtp", b"554 5.7.1 "), ("pop3", b"-ERR "), ("imap", b"* BYE ")],
)
def test_a_banner_refuses_in_the_words_of_the_protocol(protocol, begins):
    banner = BANNERS[Protocol(protocol)]
    assert banner.startswith(begins)
    assert banner.endswith(b"\r\n")
    assert banner.count(b"\n") == 1


def test_what_is_said_after_a_banner_counts(serve):
    server = serve(port_state="banner")
    secret = server.account.password.encode()
    with Wire(server) as wire:
        assert wire.rest()
        wire.send(b"a1 LOGIN x " + secret + b"\r\n")
    assert secret in only(server).clear_in
    with pytest.raises(ClientViolation, match="the password crossed in clear"):
        assert_obeys(server, rules=["no-cleartext-credentials"])


# Another server.


def without_names(server):
    """Return a context that verifies the chain and not the name."""
    context = server.ssl_context()
    context.check_hostname = False
    return context


def test_whoever_verifies_the_name_is_not_intercepted(serve, security):
    server = serve(security=security, port_state="intercepted")
    with before_tls(server) as wire, pytest.raises(ssl.SSLCertVerificationError, match=r"doesn't match|mismatch"):
        wire.wrap(server.ssl_context())
    session = only(server)
    assert session.tls.outcome is HandshakeOutcome.CLIENT_ALERT
    assert met(session) == [Deviated("port state intercepted", "", b"")]
    assert_not_authenticated(server)
    assert_obeys(server, rules=["verify-before-credentials"])


def test_the_certificate_of_the_other_server_is_valid_for_its_own_name_alone(serve, security):
    server = serve(security=security, port_state="intercepted")
    with before_tls(server) as wire:
        wire.wrap(server.ssl_context(), RELAY_HOST)
        assert wire.socket.getpeercert()["subjectAltName"] == (("DNS", RELAY_HOST),)
        if security == "implicit":
            assert RELAY_HOST.encode() in wire.line() or server.protocol != "smtp"


def login(server, context=None):
    """Log in with a client of the standard library; send a message to somebody far away where that is possible."""
    account, place = server.account, (server.host, server.port)
    implicit, starttls = (server.security == mode and context is not None for mode in ("implicit", "starttls"))
    match server.protocol:
        case Protocol.SMTP:
            made = smtplib.SMTP_SSL if implicit else smtplib.SMTP
            with made(*place, timeout=TIMEOUT, **({"context": context} if implicit else {})) as smtp:
                if starttls:
                    smtp.starttls(context=context)
                smtp.login(account.username, account.password)
                smtp.sendmail("a@example.test", ["b@far-away.test"], "Subject: x\r\n\r\n")
        case Protocol.POP3:
            made = poplib.POP3_SSL if implicit else poplib.POP3
            pop3 = made(*place, timeout=TIMEOUT, **({"context": context} if implicit else {}))
            try:
                if starttls:
                    pop3.stls(context)
                pop3.user(account.username)
                pop3.pass_(account.password)
                pop3.quit()
            finally:
                with contextlib.suppress(OSError):
                    pop3.close()
        case Protocol.IMAP:
            made = imaplib.IMAP4_SSL if implicit else imaplib.IMAP4
            imap = made(*place, timeout=TIMEOUT, **({"ssl_context": context} if implicit else {}))
            try:
                if starttls:
                    imap.starttls(context)
                imap.login(account.username, account.password)
                imap.logout()
            finally:
                with contextlib.suppress(OSError):
                    imap.shutdown()


def logged_in(server, layer):
    session = only(server)
    assert [fact.accepted for fact in session.of(type(session.auth[0]), layer)] == [True]
    return session


def test_whoever_verifies_no_name_logs_in_to_the_other_server(serve, security):
    server = serve(security=security, port_state="intercepted")
    login(server, without_names(server))
    session = logged_in(server, Layer.TLS)
    if security == "starttls" or server.protocol == "smtp":
        assert RELAY_HOST.encode() in session.clear_out + session.tls_out
    if server.protocol == "smtp":
        assert session.stored[0].recipients == ("b@far-away.test",)
    with pytest.raises(ClientViolation, match="The certificate was wrong-host"):
        assert_obeys(server, rules=["verify-before-credentials"])
    with pytest.raises(ClientViolation, match=r"although\s+the\s+certificate\s+is\s+wrong-host"):
        assert_not_authenticated(server)


def test_the_other_server_has_none_of_the_own_ones_refusals(serve):
    server = serve(port_state="intercepted", auth=AuthPolicy(reject="locked", lockout=1))
    login(server, without_names(server))
    logged_in(server, Layer.TLS)


@pytest.mark.parametrize("security", ["starttls", "implicit", "none"])
def test_an_intercepted_port_without_tls_takes_passwords_in_clear(serve, security):
    auth = AuthPolicy(before_tls=("PLAIN",)) if security == "none" else AuthPolicy()
    server = serve(security=security, port_state="intercepted-no-tls", auth=auth, certificate="valid")
    login(server)
    session = logged_in(server, Layer.CLEAR)
    assert met(session) == [Deviated("port state intercepted-no-tls", "", b"")]
    assert RELAY_HOST.encode() in session.clear_out
    if server.protocol == "smtp":
        assert session.stored[0].recipients == ("b@far-away.test",)
    with pytest.raises(ClientViolation, match="the password crossed in clear"):
        assert_obeys(server, rules=["no-cleartext-credentials"])


@pytest.mark.parametrize("state", ["intercepted", "intercepted-no-tls"])
def test_the_other_server_relays_anything_for_anybody(mailauth, state):
    server = mailauth.smtp(port_state=state)
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as smtp:
        smtp.sendmail("a@elsewhere.test", ["b@far-away.test"], "Subject: x\r\n\r\n")
    assert only(server).stored[0].recipients == ("b@far-away.test",)
    assert server.messages[0].authenticated_as is None


def test_an_intercepted_port_without_tls_offers_no_starttls(serve):
    server = serve(port_state="intercepted-no-tls")
    with Wire(server).greet() as wire:
        wire.send(wire.speech.ask)
        assert not [line for line in wire.reply(wire.speech.last) if b"STARTTLS" in line or b"STLS" in line]
        wire.send(wire.speech.starttls)
        assert not wire.line().startswith(wire.speech.ready)


def test_a_hello_on_an_intercepted_port_without_tls_is_recorded(serve):
    server = serve(security="implicit", port_state="intercepted-no-tls")
    with Wire(server) as wire, pytest.raises(ssl.SSLError, match=r"WRONG_VERSION_NUMBER|wrong version"):
        wire.wrap(server.ssl_context())
    assert len(only(server).of(HelloSeen)) == 1


@pytest.mark.parametrize("state", ["intercepted", "intercepted-no-tls"])
def test_the_other_server_takes_tokens_where_the_own_one_did(state):
    auth = AuthPolicy(mechanisms=("XOAUTH2",), password_commands="never", token_scope="x")
    config = ServerConfig(protocol="imap", port_state=state, auth=auth)
    others = BEHIND[config.port_state].server(config).auth
    offered = others.mechanisms if state == "intercepted" else others.before_tls
    assert "XOAUTH2" in offered
    assert "PLAIN" not in offered
    assert (others.password_commands, others.token_scope) == ("never", "x")


# Drop by drop.


def test_every_byte_of_a_slow_server_drips(serve):
    server = serve(port_state="slow")
    with Wire(server).greet() as wire:
        wire.send(wire.speech.quit)
        wire.rest()
    session = only(server)
    assert met(session) == [Deviated("port state slow", "", b"")]
    sent = [entry for entry in session.entries if isinstance(entry.fact, Sent)]
    assert {len(entry.fact.data) for entry in sent} == {1}
    assert len(sent) == len(session.clear_out) > 20
    greeting = sent[: session.clear_out.index(b"\n") + 1]
    assert min(later.at - earlier.at for earlier, later in pairwise(greeting)) > DRIP / 2


def test_a_patient_client_logs_in_to_a_slow_server(serve, security):
    server = serve(security=security, port_state="slow")
    login(server, server.ssl_context())
    session = logged_in(server, Layer.TLS)
    assert {len(fact.data) for fact in session.of(Sent, Layer.TLS)} == {1}


def test_a_slow_server_remembers_what_it_knew(mailauth):
    server = mailauth.imap(auth=AuthPolicy(lockout=1))
    context = server.ssl_context()
    for state in ("open", "slow"):
        server.port_state = state
        with imaplib.IMAP4(server.host, server.port, timeout=TIMEOUT) as imap:
            imap.starttls(context)
            with pytest.raises(imaplib.IMAP4.error):
                imap.login(server.account.username, "wrong" if state == "open" else server.account.password)
    assert [fact.accepted for session in server.sessions for fact in session.auth] == [False, False]


# All of them.

ANY_TLS_ERROR = (ssl.SSLError, ConnectionError)
STARTTLS_BROKEN = (*ANY_TLS_ERROR, smtplib.SMTPException, poplib.error_proto, imaplib.IMAP4.error)
REFUSED_IN_WORDS = (smtplib.SMTPConnectError, poplib.error_proto, imaplib.IMAP4.error)
MEETS = {
    # What a client of the standard library raises, by mode: STARTTLS, implicit TLS. None where it logs in.
    PortState.OPEN: (None, None),
    PortState.SLOW: (None, None),
    PortState.REFUSED: (ConnectionRefusedError, ConnectionRefusedError),
    PortState.TIMEOUT: (TimeoutError, TimeoutError),
    PortState.SILENT: ((TimeoutError, smtplib.SMTPServerDisconnected), TimeoutError),
    PortState.RESET: ((ConnectionResetError, smtplib.SMTPServerDisconnected), ConnectionResetError),
    PortState.HANDSHAKE_RESET: (ConnectionResetError, ConnectionResetError),
    PortState.HANDSHAKE_CLOSE: (STARTTLS_BROKEN, ANY_TLS_ERROR),
    PortState.BANNER: (REFUSED_IN_WORDS, ssl.SSLError),
    PortState.INTERCEPTED: (ssl.SSLCertVerificationError, ssl.SSLCertVerificationError),
    PortState.INTERCEPTED_NO_TLS: ((smtplib.SMTPException, poplib.error_proto, imaplib.IMAP4.error), ssl.SSLError),
}


# poplib forgets to close its socket when the greeting is none.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("state", [state for state in PortState if BEHIND[state].attempt is not Attempt.IMPOSSIBLE])
def test_the_clients_of_the_standard_library_meet_every_state(serve, security, state, monkeypatch):
    if MEETS[state][1] is TimeoutError:
        monkeypatch.setitem(globals(), "TIMEOUT", SHORT)
    server = serve(security=security, port_state=state)
    expected = MEETS[state][security == "implicit"]
    with contextlib.nullcontext() if expected is None else pytest.raises(expected):
        login(server, server.ssl_context())
    facts = [fact for session in server.sessions for fact in met(session)]
    unseen = state is PortState.OPEN or BEHIND[state].attempt is not Attempt.ANSWERED
    assert [fact.kind for fact in facts] == ([] if unseen else [port_fact(state)])


@pytest.mark.parametrize("state", [state for state in PortState if BEHIND[state].attempt is Attempt.ANSWERED])
def test_a_bare_socket_meets_every_state_that_answers(serve, state):
    server = serve(security="implicit", port_state=state)
    speaks_at_once = state in (PortState.BANNER, PortState.INTERCEPTED_NO_TLS)
    error = ConnectionResetError if state is PortState.RESET else TimeoutError
    deadline = SHORT if error is TimeoutError and not speaks_at_once else TIMEOUT
    with contextlib.nullcontext() if speaks_at_once else pytest.raises(error), Wire(server, deadline=deadline) as wire:
        assert wire.line().isascii()
    assert only(server).of(Received) == ()


def test_a_prohibited_port_is_not_to_be_had_on_loopback(serve):
    with pytest.raises(CannotServe, match=r"'prohibited' .* the in-process network .* or in a namespace") as failure:
        serve(port_state="prohibited")
    assert type(failure.value) is CannotServe  # no skip: it can be had, elsewhere


def test_a_name_in_clear_is_no_login(serve):
    """A client that leaves a banner alone has obeyed."""
    server = serve(port_state="banner")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as client:
        while client.recv(4096):
            pass
    assert_not_authenticated(server)
