"""Trials put together by hand or by chance: what was seen is written down, so that a rule can be asked about it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from pytest_mailauth.model import events as e
from pytest_mailauth.model.attempts import Attempt, AttemptOutcome
from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import ServerConfig, TLSPolicy
from pytest_mailauth.model.deviations import Announce, Cut, GreetAgain, Precede, Trail, Withhold
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.record import SessionRecord
from pytest_mailauth.model.terms import Certificate, HandshakeOutcome, Layer, PortState, Protocol, Security
from pytest_mailauth.model.trial import Declaration, Earlier, Outcome, Trial
from pytest_mailauth.model.webrequests import WebRequest

CLEAR, TLS = Layer.CLEAR, Layer.TLS
ACCOUNT = Account.fresh()
PASSWORD = str(ACCOUNT.secrets["password"])


def recorded(*sessions, protocol=Protocol.SMTP, security=Security.STARTTLS, control=None, outcome=None, **served):
    """Return the trial of a client whose sessions are given as pairs of layer and fact, one second apart."""
    records = [
        SessionRecord(
            number=number,
            protocol=protocol,
            security=security,
            listener="main",
            entries=tuple(e.Entry(float(at), layer, fact) for at, (layer, fact) in enumerate(session, start=1)),
        )
        for number, session in enumerate(sessions, start=1)
    ]
    return Trial(
        protocol=protocol,
        security=security,
        declared=Declaration(),
        served=ServerConfig(protocol=protocol, security=security, **served),
        account=ACCOUNT,
        sessions=tuple(records),
        outcome=outcome or Outcome(),
        control=control,
    )


# By chance, but with what rules look for more often than chance would bring it.

octets = st.lists(
    st.binary(max_size=12)
    | st.sampled_from(
        (
            b"  ",
            b"*",
            b"QUI",
            b"PLAIN",
            b"\r\n",
            b"* 1 EXPUNGE\r\n",
            b"\x15\x03\x03\0\2\2\n",
            b"\x16\x03",
            b"* PREAUTH",
            b"LOGINDISABLED",
        )
    )
    | st.just(PASSWORD.encode()),
    max_size=4,
).map(b"".join)
text = st.text(max_size=12)
maybe = st.none() | text
verbs = text | st.sampled_from(
    ("", "AUTH", "AUTHENTICATE", "LOGIN", "USER", "EHLO", "CAPABILITY", "QUIT", "LOGOUT", "MAIL", "STARTTLS")
)
secrets = st.builds(Secret, text | st.just(PASSWORD))
versions = st.sampled_from((None, "1.0", "1.2", "1.3"))
facts = st.one_of(
    st.builds(e.Opened, text),
    st.builds(e.Received, octets),
    st.builds(e.Sent, octets),
    st.builds(e.Command, verbs, octets, text, octets),
    st.builds(e.Response, text),
    st.builds(e.Authentication, text, text, secrets, st.booleans(), text),
    st.builds(e.Stored, st.integers(), st.just(())),
    st.builds(e.Malformed, text),
    st.builds(
        e.Deviated,
        st.sampled_from(
            ("injected", "injected late", "answer", "hung up", "reworded", "greeted again", "stays in clear", "cut")
        ),
        st.sampled_from(("STARTTLS", "STLS", "EHLO", "CAPA", "MAIL", "")),
        octets,
    ),
    st.builds(e.HelloSeen, st.builds(ClientHello, text)),
    st.builds(e.HandshakeEnded, st.sampled_from(HandshakeOutcome), versions, maybe, maybe, maybe),
    st.builds(e.AlertReceived, text),
    st.builds(e.Closed, st.sampled_from(("client", "server")), st.sampled_from(("close", "reset", "abort"))),
    st.builds(e.Overdue),
)
logins = st.builds(
    e.Command,
    st.sampled_from(("AUTH", "AUTHENTICATE", "LOGIN")),
    st.sampled_from((b"", b" ", b"  ", b"\t", b"PLAIN", b"plain =", b"LOGIN", b"\xff")),
    text,
)
beginnings = st.sampled_from(
    (
        (),
        ((CLEAR, e.Deviated("stays in clear", "STARTTLS", b"")),),
        ((CLEAR, e.Deviated("answer", "STARTTLS", b"")),),
        (
            (CLEAR, e.Deviated("injected", "STARTTLS", b"x")),
            (CLEAR, e.HelloSeen(ClientHello("1.2"))),
            (CLEAR, e.HandshakeEnded(HandshakeOutcome.COMPLETED, "1.3")),
            (TLS, e.Received(b"x")),
        ),
    )
)
"""How a session begins in which a rule has something to look at: its trigger has fired."""
talks = st.builds(
    lambda begun, said: [*begun, *said],
    beginnings,
    st.lists(st.tuples(st.sampled_from(Layer), facts | logins), max_size=10),
)
outcomes = st.builds(
    Outcome,
    error=maybe,
    hung=st.booleans(),
    disclosed=st.lists(st.sampled_from(("raised", "printed", "reported")), max_size=2).map(tuple),
    passed_on=st.lists(st.sampled_from(("raised", "printed", "reported")), max_size=2).map(tuple),
    facts=st.just({})
    | st.dictionaries(
        st.sampled_from(("error", "folders", "mailbox", "messages", "shown")),
        text | st.integers() | st.binary() | st.none() | st.lists(text) | st.dictionaries(text, text | st.integers()),
    ),
)


web_requests = st.lists(
    st.builds(
        WebRequest,
        scheme=st.sampled_from(("https", "http")),
        host=text,
        certificate=st.sampled_from(Certificate),
        method=st.sampled_from((None, "GET", "HEAD")),
        path=text,
        carried=st.sampled_from(((), (("password", "Authorization"),))),
        status=st.sampled_from((0, 200, 401)),
        at=st.floats(0, 9),
    ),
    max_size=2,
).map(tuple)


ABOUT_TLS = (PortState.HANDSHAKE_RESET, PortState.HANDSHAKE_CLOSE, PortState.INTERCEPTED)
PORT_STATES = {True: [state for state in PortState if state not in ABOUT_TLS], False: list(PortState)}
"""The port states that a server can be in, by whether it has no TLS."""


def attempted(number, port, outcome=AttemptOutcome.CONNECTED, *, name="localhost", session=None):
    """Return one attempt to reach a server, made one second after the one before."""
    return Attempt(
        number=number, name=name, address="127.77.0.1", port=port, outcome=outcome, at=float(number), session=session
    )


def tried(sessions):
    """Return attempts that led to any of these sessions, or to none."""
    return st.lists(
        st.builds(
            attempted,
            st.integers(1, 9),
            st.sampled_from((25, 465, 587, 2525)),
            st.sampled_from(AttemptOutcome),
            name=st.sampled_from((None, "localhost", "other.example.test")),
            session=st.sampled_from((None, *sessions)),
        ),
        max_size=3,
    ).map(tuple)


@st.composite
def trials(draw):
    """Return a trial in which anything may have been seen, with a control as likely as without."""
    protocol, security = draw(st.sampled_from(Protocol)), draw(st.sampled_from(Security))
    served = {
        "tls": TLSPolicy(max_version=draw(versions)),
        "port_state": draw(st.sampled_from(PORT_STATES[security is Security.NONE])),
        "certificate": Certificate.VALID if security is Security.NONE else draw(st.sampled_from(Certificate)),
        "deviations": draw(
            st.sampled_from(
                (
                    (),
                    (Trail(data=b"x"),),
                    (Trail(data=b"* BYE"),),
                    (Trail(data=b"x"), Withhold(patience=1.0)),
                    (Cut(verbs=("MAIL",)),),
                    (GreetAgain(data=b"x"), Withhold(patience=1.0)),
                    (Announce(lines=("AUTH PLAIN",)),),
                    (Precede(verb="STARTTLS", data=b"* 1 EXPUNGE\r\n"),),
                )
            )
        ),
    }

    def trial(control):
        made = recorded(
            *draw(st.lists(talks, max_size=3)),
            protocol=protocol,
            security=security,
            control=control,
            outcome=draw(outcomes),
            **served,
        )
        sessions = tuple(replace(s, listener=draw(st.sampled_from(("main", "other")))) for s in made.sessions)
        declared = Declaration(
            starttls=draw(st.sampled_from(("required", "opportunistic"))),
            verify=draw(st.sampled_from(("full", "none"))),
        )
        earlier = draw(
            st.none()
            | st.sampled_from((Earlier(security=Security.NONE), Earlier(verify="none"), Earlier(other_account=True)))
        )
        made = replace(made, sessions=sessions, declared=declared, may_switch=draw(st.booleans()), earlier=earlier)
        made = replace(made, marker=draw(st.sampled_from(("", "a", "\x1b["))), decoy=draw(st.sampled_from(("", "a:1"))))
        made = replace(made, requests=draw(web_requests), moved_to=draw(st.sampled_from((None, "other.example.test"))))
        return replace(made, ports=draw(st.sampled_from(((), (587,), (465, 587)))), attempts=draw(tried(sessions)))

    return trial(trial(None) if draw(st.booleans()) else None)
