"""Random talks about logging in, step by step against a model: who is in, what was seen, what is answered."""

import base64
import hashlib
import re
from itertools import pairwise

import login_model as m
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pytest_mailauth.model.config import AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.model.terms import Refusal
from pytest_mailauth.servers.engines import refusals
from pytest_mailauth.servers.engines.contract import Close, Send, StartTLS
from pytest_mailauth.servers.letters import Message
from pytest_mailauth.servers.logins import Logins
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.sasl import Decision, scram
from pytest_mailauth.servers.server import engine_of

steady = settings(max_examples=150, stateful_step_count=25, deadline=None, derandomize=True)
impatient = settings(steady, max_examples=2000, phases=[Phase.generate], report_multiple_bugs=False)

mechanisms = st.sampled_from((*m.SASL, "EXTERNAL"))
qualities = st.sampled_from(m.QUALITIES)
accounts = st.sampled_from((m.ALICE, m.ALICE, m.ALICE, m.BOB))
cuts = st.lists(st.integers(0, 400), max_size=3)
certificates = st.sampled_from((*m.CERTIFICATES, (m.ALICE.username,)))
in_tls = st.just(list(m.SASL)) | st.lists(st.sampled_from(m.SASL), max_size=6, unique=True)
in_clear = st.just(list(m.UNPROTECTED)) | st.lists(st.sampled_from(m.UNPROTECTED), max_size=6, unique=True)


class Certified:
    """The other end of TLS, with the names in its certificate."""

    def __init__(self, names):
        self.names = names

    def identities(self):
        return self.names

    def channel_bindings(self):
        return {}


@st.composite
def policies(draw, protocol, security):
    inside = draw(in_tls if security != "none" else in_clear)
    outside = draw(in_clear if security != "implicit" else st.just([]))
    if protocol == "pop3":
        inside = [*inside, *draw(st.sampled_from(([], ["APOP"])))]
        outside = [*outside, *draw(st.sampled_from(([], ["APOP"] if security != "implicit" else [])))]
    offered = sorted({*inside, *outside})
    return AuthPolicy(
        mechanisms=tuple(inside),
        before_tls=tuple(outside),
        password_commands=draw(st.sampled_from(("never", "tls", "always", "always"))),
        lockout=draw(st.sampled_from((None, 1, 1, 2))),
        reject=draw(st.sampled_from((*[None] * 9, *m.REJECTIONS))),
        too_weak=tuple(draw(st.lists(st.sampled_from(offered), max_size=1))) if offered else (),
        less_secure_apps=draw(st.sampled_from((True, True, True, False))),
    )


CODES = {
    "smtp": re.compile(r"(\d{3}(?: \d\.\d+\.\d+(?= ))?)"),
    "pop3": re.compile(r"(\+OK|-ERR|\+)(?: \[([A-Z/]+)\])?"),
    "imap": re.compile(r"(?:[^ +]+ )?(OK|NO|BAD|\+)(?: \[([A-Z]+)[^\]]*\])?"),
}
"""The code of a reply, and the first word in brackets behind it."""


class Logging(RuleBasedStateMachine):
    """Everything that the three protocols share."""

    protocol: str

    def __init__(self):
        super().__init__()
        self.store = MailStore((m.ALICE, m.BOB))
        for account, messages in ((m.ALICE, 1), (m.BOB, 2)):  # so that a mailbox tells whose it is
            for _ in range(messages):
                self.store.deliver(Message(b"Subject: x\r\n\r\n", rcpt_tos=(account.address,)))

    @initialize(data=st.data(), security=st.sampled_from(("starttls", "implicit", "none")), names=certificates)
    def serve(self, data, security, names):
        auth = data.draw(policies(self.protocol, security))
        can_ask = bool(
            (auth.mechanisms if security != "none" else ()) or (auth.before_tls if security != "implicit" else ())
        )
        relay = RelayPolicy(login_first=can_ask, own_sender=True)
        tls = TLSPolicy(client_certificate="none" if security == "none" else "optional")
        config = ServerConfig(protocol=self.protocol, security=security, auth=auth, relay=relay, tls=tls)
        self.policy = Policy(config, self.store.accounts)
        self.model = m.Model(self.protocol, config)
        self.connect(names)

    def connect(self, names):
        self.model.connect(names)
        self.peer = Certified(names) if names is not None else None
        implicit = self.policy.config.security == "implicit"
        self.engine = engine_of(self.policy.config.protocol)(self.policy, self.store, over_tls=implicit)
        if implicit:
            self.meet()
        self.tag = 0
        (greeting,) = self.engine.greet()
        self.timestamp = greeting.data.split()[-1]
        self.challenge = b""

    def meet(self):
        if self.peer is not None:
            self.engine.met(self.peer)

    # From words to bytes and back.

    def command(self, words):
        self.tag += 1
        return (b"t%d " % self.tag if self.protocol == "imap" else b"") + words

    def say(self, line, places=()):
        """Send a line, cut at *places*; return the code of the reply and what was seen."""
        data = line + b"\r\n"
        edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
        outputs = [output for start, end in pairwise(edges) for output in self.engine.receive(data[start:end])]
        assert not any(isinstance(output, Close) for output in outputs)
        seen = [output.accepted for output in outputs if isinstance(output, Authentication)]
        starts = bool(outputs) and isinstance(outputs[-1], StartTLS)
        if starts:
            self.meet()
            self.engine.tls_started()
        sent = b"".join(o.data if isinstance(o, Send) else o.reply for o in outputs if isinstance(o, Send | StartTLS))
        self.last = sent.decode().split("\r\n")[:-1]
        locked = any("the account is locked" in line for line in self.last)
        return m.Expected(self.code(), seen.count(True), seen.count(False), locked)

    def code(self):
        """Return the code of the reply: with what stands behind it for machines, and without the words for people."""
        found = CODES[self.protocol].match(self.last[0 if self.protocol == "pop3" else -1])
        assert found is not None
        code, *bracketed = found.groups()
        return f"{code} [{bracketed[0]}]" if bracketed and bracketed[0] else code

    def check(self, line, expected, places):
        assert self.say(line, places) == expected, line
        if self.model.waiting is not None:
            marker, _, challenge = self.last[-1].partition(" ")
            assert marker in ("334", "+")
            self.challenge = base64.b64decode(challenge, validate=True)

    # What a client does.

    idle = precondition(lambda self: self.model.waiting is None)
    busy = precondition(lambda self: self.model.waiting is not None)

    @idle
    @rule(mechanism=mechanisms, quality=qualities, account=accounts, at_once=st.booleans(), places=cuts)
    def begin(self, mechanism, quality, account, at_once, places):
        initial = None
        if at_once:
            initial = m.present(mechanism, quality, account, names=self.model.names or ())
            if mechanism == "LOGIN" and quality != "no base64":
                initial = m.Presented(m.b64(account.username), (account.username, "password", True))
        verb = b"AUTHENTICATE " if self.protocol == "imap" else b"AUTH "
        line = verb + mechanism.encode() + (b" " + (initial.data or b"=") if initial else b"")
        self.check(self.command(line), self.model.begin(mechanism, initial), places)

    @busy
    @rule(quality=qualities, account=accounts, places=cuts)
    def respond(self, quality, account, places):
        mechanism, wanted, name = self.model.waiting
        if wanted == "message":
            presented = m.present(mechanism, quality, account, self.challenge, self.model.names or ())
            self.check(presented.data, self.model.message(mechanism, presented), places)
        elif wanted == "proof":
            self.prove(mechanism, name, quality, places)
        elif wanted == "signature":
            self.check(b"", self.model.signature_taken(), places)
        elif wanted == "error":
            self.check(b"" if mechanism == "XOAUTH2" else b"AQ==", self.model.error_read(), places)
        elif wanted == "user":
            given = m.STRANGER if quality == "stranger" else account.username
            self.check(m.b64(given), self.model.name_given(given), places)
        else:
            account = m.ACCOUNTS.get(name)
            right = account is not None and quality in ("right", "for oneself")
            password = account.password if right else "guess"
            self.check(m.b64(password), self.model.judge((name, "password", right), mechanism), places)

    def prove(self, mechanism, first, quality, places):
        name, kind, might_be_right = first.claim
        if quality in ("broken", "no base64"):
            line = m.b64("broken") if quality == "broken" else m.NO_BASE64
            self.check(line, self.model.broken_off(), places)
            return
        account = m.ACCOUNTS.get(name)
        right = account is not None and quality not in ("wrong", "stranger")
        line = m.prove(mechanism, first.text, account.password if right else "guess", self.challenge)
        self.check(line, self.model.proved((name, kind, right and might_be_right), mechanism), places)

    @idle
    @rule(
        number=st.integers(0, 9),
        attempts=st.lists(st.tuples(qualities, st.booleans()), min_size=1, max_size=4),
        account=accounts,
        places=cuts,
    )
    def try_and_try_again(self, number, attempts, account, places):
        offered = [mechanism for mechanism in m.SASL if self.model.offers(mechanism)]
        for quality, at_once in attempts if offered else ():
            mechanism = offered[number % len(offered)]
            self.begin(mechanism, quality, account, at_once, places)
            while self.model.waiting is not None:
                self.respond(quality, account, places)
            self.probe()

    @busy
    @rule(line=st.sampled_from((b"*", b"!!!!", b"NOOP now", b"\xff\xfe", b"=" * 7, b"QUJD" * 5000)), places=cuts)
    def break_off(self, line, places):
        how = "cancelled" if line == b"*" else "too long" if len(line) > 12_288 else "malformed"
        self.check(line, self.model.broken_off(how), places)

    @idle
    @rule(line=st.sampled_from((b"!!!!", b"\xff\xfe \x00", b"1 2 3", b"", b"QUJD" * 5000, b"*")), places=cuts)
    def talk_rubbish(self, line, places):
        self.check(line, m.Expected(m.REPLIES[self.protocol]["rubbish"]), places)

    @idle
    @rule(places=cuts)
    def start_tls(self, places):
        verb = b"STLS" if self.protocol == "pop3" else b"STARTTLS"
        self.check(self.command(verb), self.model.start_tls(), places)

    @precondition(lambda self: self.tag > 3)
    @rule(names=certificates)
    def come_again(self, names):
        self.engine.eof()
        self.connect(names)

    @invariant()
    def what_needs_a_login_is_possible_exactly_after_one(self):
        if self.model.waiting is None:
            self.probe()

    def probe(self):
        raise NotImplementedError


class SmtpLogging(Logging):
    protocol = "smtp"

    @Logging.idle
    @rule(verb=st.sampled_from((b"EHLO", b"EHLO", b"EHLO", b"HELO")))
    def greet(self, verb):
        self.check(verb + b" client.test", m.Expected("250"), ())
        self.model.greeted = verb == b"EHLO"
        self.named = True
        if verb == b"EHLO":
            assert announced(self.last, "AUTH") == self.model.offered

    def connect(self, names):
        super().connect(names)
        self.greet(b"EHLO")

    @Logging.idle
    @rule(places=cuts)
    def start_tls(self, places):
        offered = self.model.may_start_tls
        self.check(b"STARTTLS", self.model.start_tls(), places)
        self.named = self.named and not offered

    @Logging.idle
    @rule()
    def authenticate_within_a_transaction(self):
        if self.say(b"MAIL FROM:<>").reply == "250 2.1.0":
            self.check(b"AUTH PLAIN", m.Expected("503 5.5.1"), ())
        assert self.say(b"RSET").reply == "250 2.0.0"

    def probe(self):
        free = not self.policy.config.relay.login_first
        for account in (m.ALICE, m.BOB):
            if not self.named:
                code = "503 5.5.1"
            elif self.model.login is None:
                code = "250 2.1.0" if free else "530 5.7.0"
            else:
                code = "250 2.1.0" if self.model.login in (account.username, m.NOBODY) else "553 5.7.1"
            self.check(f"MAIL FROM:<{account.address}>".encode(), m.Expected(code), ())
            self.check(b"RSET", m.Expected("250 2.0.0"), ())


def announced(lines, keyword):
    """Return the mechanisms behind a keyword of EHLO or CAPA."""
    split = [line.removeprefix("250-").removeprefix("250 ").split() for line in lines]
    return {name for words in split if words and words[0] == keyword for name in words[1:]}


MESSAGES = {m.ALICE.username: 1, m.BOB.username: 2, m.NOBODY: 0}


class Pop3Logging(Logging):
    protocol = "pop3"

    @Logging.idle
    @rule(name=st.sampled_from((m.ALICE.username, m.ALICE.username, m.BOB.username, m.STRANGER)), places=cuts)
    def user(self, name, places):
        fine = self.model.takes_passwords
        code = "-ERR" if self.model.login is not None else "+OK" if fine else m.POP3[self.model.no_passwords]
        self.check(f"USER {name}".encode(), m.Expected(code), places)
        self.model.name = name

    @Logging.idle
    @rule(right=st.booleans(), places=cuts)
    def password(self, right, places):
        account = m.ACCOUNTS.get(self.model.name)
        line = f"PASS {account.password if account and right else 'guess'}".encode()
        if self.model.name is None and self.model.takes_passwords:
            expected = m.Expected("-ERR", refused=1)
        else:
            already = self.model.login is not None
            expected = self.model.password_command((self.model.name, "password", bool(account and right)))
            if self.model.takes_passwords and not already:
                self.model.name = None
        self.check(line, expected, places)

    @Logging.idle
    @rule(quality=st.sampled_from(("right", "right", "wrong", "stranger", "broken")), account=accounts, places=cuts)
    def apop(self, quality, account, places):
        name = m.STRANGER if quality == "stranger" else account.username
        password = account.password if quality == "right" else "guess"
        digest = hashlib.md5(self.timestamp + password.encode(), usedforsecurity=False).hexdigest()
        expected = m.Expected("-ERR")
        if quality == "broken":
            digest = digest[1:]
        elif self.model.login is None and self.model.offers("APOP"):
            expected = self.model.judge((name, "proof", quality == "right"), "APOP")
        elif self.model.login is None:
            expected = m.Expected(m.POP3[self.model.not_offered("APOP")])
        self.check(f"APOP {name} {digest}".encode(), expected, places)

    def probe(self):
        login = self.model.login
        self.check(b"STAT", m.Expected("-ERR" if login is None else "+OK"), ())
        if login is not None:
            assert self.last[0].split()[1] == str(MESSAGES[login])
        self.check(b"CAPA", m.Expected("+OK"), ())
        assert announced(self.last, "SASL") == self.model.offered


class ImapLogging(Logging):
    protocol = "imap"

    @Logging.idle
    @rule(quality=qualities, account=accounts, literal=st.booleans(), places=cuts)
    def log_in(self, quality, account, literal, places):
        name = m.STRANGER if quality == "stranger" else account.username
        right = quality == "right"
        password = account.password if right else "guess"
        if quality in ("broken", "no base64"):
            expected = m.Expected("BAD")
            line = f"LOGIN {name}"
        else:
            expected = self.model.password_command((name, "password", right))
            line = f"LOGIN {name} " + (f"{{{len(password)}+}}\r\n{password}" if literal else f'"{password}"')
        self.check(self.command(line.encode()), expected, places)

    def probe(self):
        login = self.model.login
        self.check(self.command(b"STATUS INBOX (MESSAGES)"), m.Expected("BAD" if login is None else "OK"), ())
        if login is not None:
            assert self.last[0] == f"* STATUS INBOX (MESSAGES {MESSAGES[login]})"
        self.check(self.command(b"CAPABILITY"), m.Expected("OK"), ())
        if login is None:
            names = [word.removeprefix("AUTH=") for word in self.last[0].split() if word.startswith("AUTH=")]
            assert set(names) == self.model.offered


MACHINES = (SmtpLogging, Pop3Logging, ImapLogging)


@pytest.mark.parametrize("machine", MACHINES)
def test_engine_and_model_agree(machine):
    run_state_machine_as_test(machine, settings=steady)


@pytest.mark.parametrize("reason", m.REJECTIONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_refusal_has_the_code_that_the_model_knows(machine, reason):
    talk = machine()
    config = ServerConfig(protocol=talk.protocol, security="implicit", auth=AuthPolicy(reject=reason))
    talk.policy = Policy(config, talk.store.accounts)
    talk.model = m.Model(talk.protocol, config)
    talk.connect(None)
    talk.begin("PLAIN", "right", m.ALICE, True, ())  # noqa: FBT003 - an initial response
    assert talk.model.login is None


def _always(*_asked, **_layer):
    return True


def _forgetful(logins, claim, mechanism=""):
    logins._failures.clear()
    return HONEST(logins, claim, mechanism)


def _credulous(logins, claim, mechanism=""):
    account = logins.account_of(claim.identity)
    return Decision(account) if account else HONEST(logins, claim, mechanism)


def _trusting(policy, peer, *, over_tls):
    return policy.config.auth.mechanisms if over_tls else policy.config.auth.before_tls


HONEST = Logins.decide
FAULTS = {
    "nobody is locked out": (Logins, "decide", _forgetful),
    "whoever knows a name is let in": (Logins, "decide", _credulous),
    "mechanisms are accepted on every layer": (Policy, "may_authenticate", _always),
    "passwords are accepted on every layer": (Policy, "may_use_password_command", _always),
    "STARTTLS is always offered": (Policy, "may_start_tls", _always),
    "any proof will do": (scram, "_proves", _always),
    "EXTERNAL is offered to everybody": (Policy, "mechanisms", _trusting),
    "every refusal says the same": (refusals, "REPLIES", dict.fromkeys(Refusal, refusals.REPLIES[Refusal.INVALID])),
}


# SMTP has no command that takes a password.
SEEN = [
    (machine, fault) for machine in MACHINES for fault in FAULTS if machine is not SmtpLogging or "passwo" not in fault
]


@pytest.mark.parametrize(("machine", "fault"), SEEN)
def test_the_model_notices(machine, fault, monkeypatch):
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=impatient)
