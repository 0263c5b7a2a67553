"""Every situation a reference client may meet: what the peer does, and which faulty clients must show in it, and how.

A fault that is not named in a row must make no difference there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from scripted_peer import Answers, Script

from pytest_mailauth.model.terms import Protocol, Security

SMTP, POP3, IMAP = Protocol
IMPLICIT, STARTTLS, NONE = Security
BOTH: Final = ("PLAIN", "LOGIN")

WORKING: Final[dict[Protocol, Answers]] = {
    SMTP: {
        "AUTH PLAIN": (b"235 2.7.0 in\r\n",),
        "AUTH LOGIN": (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", b"235 2.7.0 in\r\n"),
        "HELO": (b"250 mail.test\r\n",),
        "MAIL": (b"250 ok\r\n",),
        "RCPT": (b"250 ok\r\n",),
        "RSET": (b"250 ok\r\n",),
        "DATA": (b"354 send it\r\n", b"250 taken\r\n"),
        "QUIT": (b"221 bye\r\n",),
    },
    POP3: {
        "AUTH PLAIN": (b"+OK in\r\n",),
        "AUTH LOGIN": (b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n", b"+OK in\r\n"),
        "USER": (b"+OK\r\n",),
        "PASS": (b"+OK in\r\n",),
        "STAT": (b"+OK 1 12\r\n",),
        "RETR": (b"+OK\r\nSubject: a\r\n\r\n..\r\n.\r\n",),
        "QUIT": (b"+OK bye\r\n",),
    },
    IMAP: {
        "AUTHENTICATE PLAIN": (b"+ \r\n", b"{tag} OK in\r\n"),
        "AUTHENTICATE LOGIN": (b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n", b"{tag} OK in\r\n"),
        "LOGIN": (b"{tag} OK in\r\n",),
        "SELECT": (b"* 1 EXISTS\r\n{tag} OK [READ-WRITE] selected\r\n",),
        "SEARCH": (b"* SEARCH 1\r\n{tag} OK found\r\n",),
        "LOGOUT": (b"* BYE bye\r\n{tag} OK bye\r\n",),
    },
}
GREETING: Final = {SMTP: "220 {} ESMTP\r\n", POP3: "+OK ready\r\n", IMAP: "* OK ready\r\n"}
UNKNOWN: Final = {SMTP: b"502 unknown\r\n", POP3: b"-ERR unknown\r\n", IMAP: b"{tag} BAD unknown\r\n"}
LIST_VERB: Final = {SMTP: "EHLO", POP3: "CAPA", IMAP: "CAPABILITY"}
WORK_VERB: Final = {SMTP: "MAIL", POP3: "STAT", IMAP: "SELECT"}
TLS_VERB: Final = {SMTP: "STARTTLS", POP3: "STLS", IMAP: "STARTTLS"}
LOGIN_VERBS: Final = ("AUTH PLAIN", "AUTHENTICATE PLAIN", "PASS", "LOGIN")
TLS_REPLY: Final[dict[str, dict[Protocol, bytes]]] = {
    "success": {SMTP: b"220 go\r\n", POP3: b"+OK go\r\n", IMAP: b"{tag} OK go\r\n"},
    "refusal": {SMTP: b"454 not now\r\n", POP3: b"-ERR not now\r\n", IMAP: b"{tag} NO not now\r\n"},
    "lookalike": {SMTP: b"250 fine\r\n", POP3: b"+OKAY\r\n", IMAP: b"{tag} XYZZY fine\r\n"},
}
REFUSED: Final = {SMTP: b"535 no\r\n", POP3: b"-ERR no\r\n", IMAP: b"{tag} NO no\r\n"}
TRAIL: Final[dict[str, dict[Protocol, bytes]]] = {
    "": dict.fromkeys(Protocol, b""),
    "lines": {
        SMTP: b"250-x\r\n250 AUTH LOGIN\r\n",
        POP3: b"+OK\r\nSASL LOGIN\r\n.\r\n",
        IMAP: b"* CAPABILITY IMAP4rev1 AUTH=LOGIN\r\n{next} OK done\r\n",
    },
    "untagged": {IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"},
    "partial": {
        SMTP: b"250-AUTH PLAIN ",
        POP3: b"+OK\r\nSASL PLAIN ",
        IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN ",
    },
}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a list announces."""

    tls: bool = False
    mechanisms: tuple[str, ...] = ()
    password_command: bool = False
    exists: bool = True

    def answer(self, protocol: Protocol) -> bytes:
        """Return the answer to the command that asks for the list."""
        if not self.exists:
            return UNKNOWN[protocol]
        if protocol is IMAP:
            words = ["IMAP4rev1", *(["STARTTLS"] if self.tls else []), *(f"AUTH={name}" for name in self.mechanisms)]
            words += [] if self.password_command else ["LOGINDISABLED"]
            return b"* CAPABILITY %b\r\n{tag} OK listed\r\n" % " ".join(words).encode()
        word = {SMTP: "AUTH", POP3: "SASL"}[protocol]
        lines = [TLS_VERB[protocol]] if self.tls else []
        lines += [" ".join((word, *self.mechanisms))] if self.mechanisms else []
        if protocol is POP3:
            lines += ["USER"] if self.password_command else []
            return "\r\n".join(["+OK", *lines, ".", ""]).encode()
        *first, last = ["mail.test", *lines]
        return "".join([*(f"250-{line}\r\n" for line in first), f"250 {last}\r\n"]).encode()


FORBIDDING: Final = Offer(tls=True)
INVITING: Final = Offer(tls=True, mechanisms=BOTH, password_command=True)
STRIPPED: Final = Offer(mechanisms=BOTH, password_command=True)
SECURED: Final = Offer(mechanisms=BOTH, password_command=True)

EARLY: Final = {"operation-before-starttls": "operation-clear", "id-before-tls": "outcome"}
INVITED: Final = EARLY | {"user-before-stls": "outcome"}
"""Who gives a name where USER is offered shows it there."""
LATE: Final = {"name-from-greeting": "outcome"}
"""It refuses the certificate too, and later."""
OLDER: Final = {"retries-with-older-tls": "outcome"}
WAITING: Final = {"no-timeout": "outcome", "blames-password": "blame"}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One row. *shows* maps a faulty client to what tells it from the honest one."""

    shows: dict[str, str]
    security: Security = STARTTLS
    protocols: tuple[Protocol, ...] = tuple(Protocol)
    clear: Offer = FORBIDDING
    inside: Offer = SECURED
    reply: str = "success"
    trail: str = ""
    hold: str | None = None
    stays_clear: bool = False
    greets_in_clear: bool = False
    preauth: bool = False
    refuses_login: bool = False
    certificate: str = "valid"
    greets_as: str = "localhost"
    port: str = "open"
    fallback: bool = False
    timeout: float = 5.0
    aborts: bool = True
    extra: dict[Protocol, bytes] = field(default_factory=dict)
    greeting: bytes | None = None
    knows_helo: bool = True
    introduced: bytes | None = None
    credentials: bool = True
    refuses_quit: bool = False
    work: dict[str, bytes] = field(default_factory=dict)
    cut: bool = False
    earlier: bool = False
    given: bool = False

    def script(self, protocol: Protocol) -> Script:
        """Return what the peer recites; the TLS context is filled in by the test."""
        working = dict(WORKING[protocol])
        if self.refuses_login:
            working |= {verb: (*working[verb][:-1], REFUSED[protocol]) for verb in LOGIN_VERBS if verb in working}
        if not self.knows_helo:
            del working["HELO"]
        if self.refuses_quit:
            del working["QUIT"]
        listed = self.introduced or self.clear.answer(protocol) + self.extra.get(protocol, b"")
        clear = working | {LIST_VERB[protocol]: (listed,)}
        if self.clear.tls:
            clear[TLS_VERB[protocol]] = (TLS_REPLY[self.reply][protocol],)
        inside = working | {LIST_VERB[protocol]: (self.inside.answer(protocol),)}
        reply = inside[LIST_VERB[protocol]][0]
        greeting = b"* PREAUTH ready\r\n" if self.preauth else GREETING[protocol].format(self.greets_as).encode()
        return Script(
            greeting=greeting if self.greeting is None else self.greeting,
            clear=clear,
            inside=inside,
            unknown=UNKNOWN[protocol],
            implicit=self.security is IMPLICIT and not self.greets_in_clear,
            trail=TRAIL[self.trail][protocol],
            stay_clear=b"250-mail.test\r\n250 AUTH PLAIN\r\n" if self.stays_clear else None,
            hold={None: None, "all": b"", "but-first": reply[:1]}[self.hold],
            port=self.port,
            cut=WORK_VERB[protocol] if self.cut else None,
        )


SITUATIONS: Final[dict[str, Situation]] = {
    "starttls": Situation(shows=EARLY),
    "implicit": Situation(shows={}, security=IMPLICIT),
    "none": Situation(shows={"login-unasked": "login-command"}, security=NONE, clear=STRIPPED),
    "password-command-only": Situation(
        shows={"login-unasked": "outcome"}, security=NONE, clear=Offer(password_command=True)
    ),
    "login-disabled": Situation(
        shows={"login-despite-logindisabled": "login-command", "login-unasked": "login-command"},
        security=NONE,
        protocols=(IMAP,),
        clear=Offer(mechanisms=BOTH),
    ),
    "login-disabled-and-nothing-else": Situation(
        shows={"login-despite-logindisabled": "credential-clear", "login-unasked": "credential-clear"},
        security=NONE,
        protocols=(IMAP,),
        clear=Offer(),
    ),
    "login-disabled-and-starttls-refused": Situation(
        shows=EARLY | {"ignores-starttls-reply": "outcome"}, protocols=(IMAP,), reply="refusal"
    ),
    "login-offered-with-starttls": Situation(
        shows=INVITED | dict.fromkeys(("password-before-starttls", "stays-in-clear"), "credential-clear"),
        clear=INVITING,
    ),
    "starttls-not-offered": Situation(
        shows=dict.fromkeys(("clear-when-starttls-missing", "stays-in-clear"), "credential-clear"), clear=STRIPPED
    ),
    "no-credentials": Situation(
        shows=dict.fromkeys(("clear-when-starttls-missing", "tls-only-for-login"), "operation-clear"),
        protocols=(SMTP,),
        clear=Offer(),
        credentials=False,
    ),
    "nothing-offered": Situation(shows={"clear-when-starttls-missing": "operation-clear"}, clear=Offer()),
    "no-list": Situation(
        shows={"clear-when-starttls-missing": "operation-clear"}, protocols=(SMTP, IMAP), clear=Offer(exists=False)
    ),
    "no-list-of-pop3": Situation(  # whose old servers have USER
        shows={"clear-when-starttls-missing": "operation-clear", "stays-in-clear": "credential-clear"},
        protocols=(POP3,),
        clear=Offer(exists=False),
    ),
    "starttls-refused": Situation(
        shows=INVITED
        | dict.fromkeys(("ignores-starttls-reply", "password-before-starttls", "stays-in-clear"), "credential-clear"),
        clear=INVITING,
        reply="refusal",
    ),
    "starttls-lookalike": Situation(
        shows=INVITED
        | dict.fromkeys(("ignores-starttls-reply", "password-before-starttls", "stays-in-clear"), "credential-clear"),
        clear=INVITING,
        reply="lookalike",
    ),
    "reply-before-starttls": Situation(
        shows=EARLY, extra={SMTP: b"220 go\r\n", POP3: b"+OK go\r\n", IMAP: b"A002 OK go\r\n"}
    ),
    "starttls-then-clear": Situation(
        shows=INVITED
        | dict.fromkeys(
            (
                "clear-after-failed-handshake",
                "password-before-starttls",
                "retries-in-clear-after-starttls",
                "stays-in-clear",
            ),
            "credential-clear",
        ),
        clear=INVITING,
        stays_clear=True,
    ),
    "lines-injected-and-nothing-else": Situation(
        shows=EARLY | WAITING | {"keeps-buffer-over-starttls": "login-tls"},
        trail="lines",
        hold="all",
        timeout=0.4,
        aborts=False,
    ),
    "lines-injected-before-first-byte": Situation(
        shows=EARLY
        | WAITING
        | {"keeps-buffer-over-starttls": "login-tls", "keeps-buffer-until-real-reply": "login-tls"},
        trail="lines",
        hold="but-first",
        timeout=0.4,
        aborts=False,
    ),
    "partial-line-injected": Situation(
        shows=EARLY
        | dict.fromkeys(
            ("keeps-partial-line", "keeps-buffer-over-starttls", "keeps-buffer-until-real-reply"), "plain-tls"
        ),
        inside=Offer(mechanisms=("LOGIN",), password_command=True),
        trail="partial",
        aborts=False,
    ),
    "untagged-line-injected": Situation(
        shows=EARLY
        | dict.fromkeys(
            ("keeps-untagged-line", "keeps-buffer-over-starttls", "keeps-buffer-until-real-reply"), "plain-tls"
        ),
        protocols=(IMAP,),
        inside=Offer(mechanisms=("LOGIN",), password_command=True),
        trail="untagged",
        aborts=False,
    ),
    "lines-injected-and-aborted": Situation(
        shows=EARLY
        | dict.fromkeys(
            ("keeps-untagged-line", "keeps-buffer-over-starttls", "keeps-buffer-until-real-reply"), "outcome"
        ),
        trail="lines",
    ),
    "preauth": Situation(shows={"preauth-is-login": "operation-clear"}, protocols=(IMAP,), preauth=True),
    "preauth-inside-tls": Situation(
        shows={"logs-in-despite-preauth": "credential-tls"}, security=IMPLICIT, protocols=(IMAP,), preauth=True
    ),
    "preauth-inside-tls-and-a-draft": Situation(
        shows={"logs-in-despite-preauth": "credential-tls", "writes-to-anybody": "outcome"},
        security=IMPLICIT,
        protocols=(IMAP,),
        preauth=True,
        work={"draft": b"Subject: a"},
    ),
    "quit-refused": Situation(
        # The peer leaves at QUIT, whatever it says.
        shows=dict.fromkeys(("clear-when-starttls-missing", "stays-in-clear"), "credential-clear")
        | {"stays-when-quit-is-refused": "outcome"},
        protocols=(SMTP, POP3),
        clear=STRIPPED,
        refuses_quit=True,
    ),
    "login-refused": Situation(
        shows={"tells-password": "told", "tries-all-mechanisms": "outcome"}, security=IMPLICIT, refuses_login=True
    ),
    "another-service": Situation(
        shows={"takes-any-service": "credential-tls"}, security=IMPLICIT, greeting=b"HTTP/1.1 400 Bad Request\r\n"
    ),
    "another-dialect": Situation(
        shows={"takes-any-service": "credential-tls"},
        security=IMPLICIT,
        protocols=(SMTP,),
        inside=Offer(exists=False),
        knows_helo=False,
    ),
    "no-greeting": Situation(
        shows=WAITING | {"goes-on-without-greeting": "credential-tls"}, security=IMPLICIT, greeting=b"", timeout=0.4
    ),
    "starttls-inside-tls": Situation(shows={"starttls-inside-tls": "outcome"}, security=IMPLICIT, inside=INVITING),
    "cut-at-work": Situation(
        shows=INVITED
        | dict.fromkeys(("password-before-starttls", "reconnects-in-clear", "stays-in-clear"), "credential-clear")
        # What no connection is left for when it was cut.
        | {"blames-password": "blame"},
        clear=INVITING,
        cut=True,
    ),
    "clear-on-a-given-connection": Situation(
        shows={"clear-over-given-connection": "credential-clear"},
        security=IMPLICIT,
        clear=STRIPPED,
        greets_in_clear=True,
        given=True,
    ),
    "odd-introduction": Situation(
        shows={"clear-after-odd-introduction": "operation-clear", "takes-any-service": "outcome"},
        protocols=(SMTP,),
        introduced=b"220 hello\r\n",
    ),
    "odd-greeting": Situation(
        shows={"clear-after-odd-introduction": "operation-clear", "takes-any-service": "outcome"},
        protocols=(POP3,),
        greeting=b"+OK 2 messages\r\n1 120\r\n2 200\r\n.\r\n",
    ),
    "refused-service": Situation(
        shows={"clear-after-refused-service": "credential-clear", "blames-password": "blame"},
        protocols=(SMTP,),
        greeting=b"554 no service\r\n",
        clear=STRIPPED,
    ),
    "proof-in-clear": Situation(
        shows=EARLY | {"proves-in-clear": "operation-clear"} | {"stays-in-clear": "outcome"},
        clear=Offer(tls=True, mechanisms=("CRAM-MD5",)),
    ),
    "ntlm-in-clear": Situation(
        shows={"ntlm-in-clear": "operation-clear", "clear-when-starttls-missing": "operation-clear"},
        clear=Offer(mechanisms=("NTLM",)),
    ),
    "apop": Situation(
        shows=EARLY | {"proves-in-clear": "operation-clear", "stays-in-clear": "outcome"},
        protocols=(POP3,),
        greeting=b"+OK <1.2@mail.test>\r\n",
    ),
    "apop-with-what-is-no-timestamp": Situation(
        shows={"apop-with-any-timestamp": "outcome"},
        security=NONE,
        protocols=(POP3,),
        clear=Offer(password_command=True),
        greeting=b"+OK <1@2@mail.test>\r\n",
    ),
    "two-transfers": Situation(shows={"reuses-by-host": "outcome"}, security=IMPLICIT, earlier=True),
    "untrusted": Situation(
        shows={"no-chain-check": "credential-tls", "checks-after-login": "credential-tls"},
        security=IMPLICIT,
        certificate="untrusted",
    ),
    "untrusted-and-another-port": Situation(
        shows={
            "no-chain-check": "credential-tls",
            "checks-after-login": "credential-tls",
            "clear-after-bad-certificate": "fallback",
        },
        security=IMPLICIT,
        certificate="untrusted",
        fallback=True,
    ),
    "bad-signature": Situation(
        shows=dict.fromkeys(("no-chain-check", "no-signature-check", "checks-after-login"), "credential-tls"),
        security=IMPLICIT,
        certificate="bad-signature",
    ),
    "wrong-host": Situation(
        shows=EARLY
        | dict.fromkeys(("no-name-check", "name-from-greeting", "checks-after-login"), "credential-tls")
        | {"retries-in-clear-after-starttls": "outcome"},
        certificate="wrong-host",
        greets_as="other.test",
    ),
    "lookalike-host": Situation(
        shows=LATE | dict.fromkeys(("no-name-check", "name-by-part", "checks-after-login"), "credential-tls"),
        security=IMPLICIT,
        certificate="lookalike",
    ),
    "common-name-of-another": Situation(
        shows=LATE
        | dict.fromkeys(("no-name-check", "common-name-beside-others", "checks-after-login"), "credential-tls"),
        security=IMPLICIT,
        certificate="common-name",
    ),
    "no-certificate": Situation(
        shows={"accepts-anonymous-suites": "credential-tls"} | OLDER, security=IMPLICIT, certificate="none"
    ),
    "expired": Situation(
        shows=dict.fromkeys(("no-chain-check", "ignores-expiry", "checks-after-login"), "credential-tls"),
        security=IMPLICIT,
        certificate="expired",
    ),
    "old-tls": Situation(shows={"accepts-old-tls": "credential-tls"} | OLDER, security=IMPLICIT, certificate="old"),
    "weak-key": Situation(
        shows=dict.fromkeys(("no-chain-check", "checks-after-login"), "credential-tls"),
        security=IMPLICIT,
        certificate="weak-key",
    ),
    "weak-suite": Situation(
        shows={"accepts-static-rsa": "credential-tls"} | OLDER, security=IMPLICIT, certificate="weak-suite"
    ),
    "clear-on-the-tls-port": Situation(
        shows={"retries-in-clear": "credential-clear"}, security=IMPLICIT, clear=STRIPPED, greets_in_clear=True
    ),
    "reset": Situation(
        shows={"blames-password": "blame", "switches-port": "fallback", "retries-in-clear": "outcome"},
        security=IMPLICIT,
        port="reset",
        fallback=True,
    ),
    "reset-before-greeting": Situation(
        shows={"blames-password": "blame", "switches-port": "fallback"}, port="reset", fallback=True
    ),
    "silent": Situation(shows=WAITING | {"switches-port": "fallback"}, port="silent", fallback=True, timeout=0.4),
    "refused": Situation(
        shows={"blames-password": "blame", "switches-port": "fallback"}, port="refused", fallback=True
    ),
    "refused-and-no-other-port": Situation(shows={"blames-password": "blame"}, security=IMPLICIT, port="refused"),
}
