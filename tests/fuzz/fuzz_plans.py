"""The sessions of a fuzz run before they are played: what clients say, and what the servers are like.

Each is a function of a seed and a number.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import random
from typing import NamedTuple

from pytest_mailauth.model import deviations as d
from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy, ServerConfig, TLSPolicy
from pytest_mailauth.model.relay import CHUNKING, KEYWORDS, RelayPolicy
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.servers.acts import FAULTS, Faults
from pytest_mailauth.servers.script import Script

MESSAGE_LIMIT = 50_000

PASSWORD, TOKEN = "Pw1f0e2d3c4b5a69788796a5b4", "Tk00112233445566778899aabb"
GUESS = "Pwffeeddccbbaa998877665544"
"""A password of nobody: the engines cannot know it, and must not show it all the same."""
ALICE = Account("alice-1a2b3c4d@example.test", Secret(PASSWORD), "alice@example.test", Secret(TOKEN))
BOB = Account("bob-5e6f7a8b@example.test", Secret("Pw99887766554433221100aabb"), "bob@example.test")
HIDDEN = {"password": PASSWORD, "token": TOKEN, "password of another account": str(BOB.password)}
MAIL = b"Subject: one\r\nFrom: bob@example.test\r\n\r\n.dots\r\nand a bare\nline feed\r\n"


class Peer:
    """The other end of a TLS connection that was never made."""

    def channel_bindings(self):
        return {"tls-unique": b"unique", "tls-exporter": b"exported"}

    def identities(self):
        return (ALICE.address,)


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


SCRAM_FIRSTS = {
    "abc": ("n,,", ALICE.username),
    "abd": (f"n,a={ALICE.address},", ALICE.username),
    "aby": ("y,,", ALICE.username),
    "abp": ("p=tls-unique,,", ALICE.username),
    "abx": ("p=tls-unique,,", "nobody"),
}
"""Nonce of a client's first message to the beginning and the name of it: the answer to the challenge needs them."""

# What clients say. Each protocol has commands; the words in them are drawn anew each time.

WORDS = {
    "user": (ALICE.username, ALICE.address, BOB.username, "nobody"),
    "password": (PASSWORD, PASSWORD, GUESS, TOKEN, ""),
    "plain": tuple(
        b64(message).decode()
        for message in (
            f"\0{ALICE.username}\0{PASSWORD}",
            f"\0{ALICE.username}\0{GUESS}",
            f"{BOB.username}\0{ALICE.username}\0{PASSWORD}",
            f"{ALICE.username}\0{PASSWORD}",
            "",
        )
    ),
    "b64user": (b64(ALICE.username).decode(), b64("nobody").decode(), "="),
    "b64password": (b64(PASSWORD).decode(), b64(GUESS).decode(), "*", "!"),
    "xoauth2": tuple(
        b64(f"user={ALICE.username}\x01auth=Bearer {token}\x01\x01").decode() for token in (TOKEN, GUESS, PASSWORD)
    ),
    "bearer": tuple(
        b64(f"n,a={ALICE.username},\x01host=localhost\x01auth=Bearer {token}\x01\x01").decode()
        for token in (TOKEN, GUESS)
    ),
    "scram": tuple(b64(f"{header}n={name},r={nonce}").decode() for nonce, (header, name) in SCRAM_FIRSTS.items()),
    "mechanism": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "EXTERNAL", "ANONYMOUS", "NTLM", "plain"),
    "digest": (hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest(), "0" * 32, "beef"),
    "box": ("INBOX", "Sent", "Sent/2024", '"with space"', "&AOQ-", "*", "nowhere"),
    "set": ("1", "1:*", "2,4:7", "*", "0", "99999999999", "1:2:3"),
    "number": ("1", "2", "0", "999999999", "x", ""),
    "address": (ALICE.address, "bob@example.test", "x@elsewhere.test", "", "@", '"a b"@example.test'),
    "size": ("", " SIZE=10", " SIZE=99999999", " BODY=8BITMIME", " SMTPUTF8", " AUTH=<>", " RUBBISH=1"),
}
WRAPPED = ("plain", "b64user", "b64password", "xoauth2", "bearer", "scram")
"""Words that stand for something else in base64."""
SASL = ("PLAIN {plain}", "LOGIN {b64user}", "LOGIN", "PLAIN", "XOAUTH2 {xoauth2}", "OAUTHBEARER {bearer}")
SASL += ("CRAM-MD5", "SCRAM-SHA-1 {scram}", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS {scram}", "EXTERNAL =", "EXTERNAL")
SASL += ("ANONYMOUS {b64user}", "{mechanism}", "{mechanism} {plain}")
ANSWERS = ("{plain}", "{b64user}", "{b64password}", "{xoauth2}", "{scram}", "*", "", "AQ==", "=")
COMMANDS = {
    Protocol.SMTP: (
        *("EHLO client.test", "EHLO client.test", "HELO client.test", "EHLO", "NOOP", "RSET", "QUIT", "HELP", "VRFY x"),
        *("STARTTLS", "STARTTLS now", "MAIL FROM:<{address}>{size}", "RCPT TO:<{address}>", "RCPT TO:<{address}>"),
        *(
            "DATA",
            "DATA\r\nSubject: x\r\n\r\n..text\r\n.",
            ".",
            "BDAT 5\r\nhello",
            "BDAT 9 LAST\r\nSubject:x",
            "BDAT {number} LAST",
            "EXPN",
            "HELP MAIL",
            "{b64password}",
            "PASS {password}",
        ),
        *(f"AUTH {one}" for one in SASL),
        *ANSWERS,
    ),
    Protocol.POP3: (
        *("USER {user}", "USER {user}", "PASS {password}", "PASS {password}", "APOP {user} {digest}", "AUTH", "CAPA"),
        *("STLS", "STLS", "STAT", "LIST", "LIST {number}", "RETR {number}", "DELE {number}", "TOP {number} {number}"),
        *("UIDL", "UIDL {number}", "NOOP", "RSET", "QUIT", "LAST", "{password}"),
        *(f"AUTH {one}" for one in SASL),
        *ANSWERS,
    ),
    Protocol.IMAP: (
        *("{tag} LOGIN {user} {password}", '{tag} LOGIN "{user}" "{password}"', "{tag} CAPABILITY", "{tag} STARTTLS"),
        *("{tag} NOOP", "{tag} LOGOUT", '{tag} ID ("name" "x" NIL NIL)', "{tag} ID NIL", "{tag} SELECT {box}"),
        *("{tag} EXAMINE {box}", "{tag} CREATE {box}", "{tag} DELETE {box}", "{tag} RENAME {box} {box}"),
        *('{tag} LIST "" {box}', '{tag} LSUB "" "%"', "{tag} STATUS {box} (MESSAGES UIDNEXT)", "{tag} CLOSE"),
        *("{tag} EXPUNGE", "{tag} UNSELECT", "{tag} CHECK", "{tag} SEARCH ALL", "{tag} SEARCH {set} NOT SEEN OR 1 2"),
        *(
            "{tag} FETCH {set} (FLAGS UID ENVELOPE BODYSTRUCTURE)",
            "{tag} FETCH {set} BODY[HEADER.FIELDS (Subject)]<0.5>",
        ),
        *("{tag} UID FETCH {set} RFC822", "{tag} STORE {set} +FLAGS (\\Deleted $x)", "{tag} COPY {set} {box}"),
        *("{tag} UID SEARCH UID {set}", "{tag} UID EXPUNGE {set}", "{tag} UID COPY {set} {box}", "{tag} IDLE"),
        *("{tag} APPEND {box} (\\Seen) {{5+}}\r\nhello", "{tag} APPEND {box} {{9}}\r\nSubject:x", "{password}"),
        *(
            "{tag} LOGIN {{4+}}\r\nuser {{4+}}\r\npass",
            "{tag} LOGIN {user} {{26}}\r\n" + PASSWORD,
            "{tag} DELETE {box}",
        ),
        *("{tag} APPEND INBOX {{99999999}}", "{tag} LOGIN {{99999999999+}}", "{tag} SUBSCRIBE {box}"),
        *(f"{{tag}} AUTHENTICATE {one}" for one in SASL),
        *ANSWERS,
    ),
}
OPENINGS = {
    Protocol.SMTP: ("EHLO client.test\r\n",),
    Protocol.POP3: ("", f"USER {ALICE.username}\r\nPASS {PASSWORD}\r\n"),
    Protocol.IMAP: ("", f"o1 LOGIN {ALICE.username} {PASSWORD}\r\no2 SELECT INBOX\r\n"),
}
"""How some sessions begin, so that what is behind a login is met as well."""


# What servers are like.

ALL = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "ANONYMOUS")
EVERYWHERE = AuthPolicy(mechanisms=(*ALL, "SCRAM-SHA-256-PLUS", "EXTERNAL"), before_tls=ALL, password_commands="always")
POLICIES = (
    AuthPolicy(),
    IN_CLEAR,
    EVERYWHERE,
    EVERYWHERE,
    AuthPolicy(mechanisms=ALL, before_tls=ALL, password_commands="always", lockout=2),
    AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always", rate_limit=(2, 60.0), advertised=False),
    AuthPolicy(mechanisms=ALL, before_tls=ALL, password_commands="always", less_secure_apps=False),
    AuthPolicy(before_tls=("PLAIN",), too_weak=("PLAIN",), reject=None),
    AuthPolicy(reject="temporary"),
    AuthPolicy(mechanisms=(), password_commands="never"),
    AuthPolicy(before_tls=("XOAUTH2",), mechanisms=("XOAUTH2", "PLAIN"), accept_token=lambda token, _a: token == GUESS),
)
RELAYS = (
    RelayPolicy(max_size=MESSAGE_LIMIT),
    RelayPolicy(max_size=MESSAGE_LIMIT, login_first=True, own_sender=True, greylist=1),
    RelayPolicy(max_size=60, max_messages=1, max_recipients=1, relay="local", keywords=("SIZE", "PIPELINING")),
    RelayPolicy(max_size=MESSAGE_LIMIT, relay="open", recipients={"bob@example.test": "550 5.1.1 gone"}),
    RelayPolicy(max_size=MESSAGE_LIMIT, relay="open", keywords=(*KEYWORDS, CHUNKING)),
)
DEVIATIONS = {
    Protocol.SMTP: ((d.Greet(data=b"554 no\r\n"),), (d.Hide(names=("STARTTLS", "AUTH")),)),
    Protocol.POP3: ((d.Greet(data=b"-ERR no\r\n"),), (d.Hide(names=("STLS", "SASL", "USER")),)),
    Protocol.IMAP: ((d.Greet(data=b"* BYE no\r\n"),), (d.Hide(names=("STARTTLS", "LOGINDISABLED")),)),
}
ANSWERED = {Protocol.SMTP: ("STARTTLS", "AUTH"), Protocol.POP3: ("STLS", "AUTH"), Protocol.IMAP: ("STARTTLS", "LOGIN")}
SCRIPTED = {Protocol.SMTP: (451, "4.3.0 later"), Protocol.POP3: ("-ERR later",), Protocol.IMAP: ("NO later",)}


class Plan(NamedTuple):
    """One session before it is played: the server, and the client's talk as pieces of bytes."""

    config: ServerConfig
    script_seed: int
    over_tls: bool
    talk: tuple[bytes, ...]
    careful: bool
    adaptive: bool


def _config(chance, protocol):
    auth = chance.choice(POLICIES)
    deviations = ()
    if chance.random() < 0.2:
        verb = chance.choice(ANSWERED[protocol])
        over_tls, rest = chance.random() < 0.5, chance.choice((b"", b"{next4} more\r\n"))
        answer = d.Answer(
            verb=verb,
            reply=b"{tag} 454 no {next}\r\n",
            over_tls=over_tls,
            rest=rest,
            pause=0.1,
            end=chance.choice(("", "close", "reset")),
        )
        delay = d.Delay(verb=verb, seconds=0.1, over_tls=over_tls)
        announce = d.Announce(lines=("X-THING 1",), over_tls=chance.random() < 0.5)
        deviations = chance.choice(
            (*DEVIATIONS[protocol], (answer,), (announce, answer), (delay,), (d.Slow(delay=0.1),))
        )
    if protocol is Protocol.POP3 and chance.random() < 0.4:
        auth = AuthPolicy(mechanisms=("APOP", "PLAIN"), before_tls=("APOP", "LOGIN"), password_commands="always")
    elif protocol is Protocol.IMAP and chance.random() < 0.1:
        auth = AuthPolicy(preauthenticated=True)
    security = chance.choice(("starttls", "starttls", "implicit", "none"))
    may_log_in = (security != "none" and auth.mechanisms) or (security != "implicit" and auth.before_tls)
    if security == "none":  # a client certificate belongs to TLS
        mechanisms = tuple(name for name in auth.mechanisms if name != "EXTERNAL")
        auth = dataclasses.replace(auth, mechanisms=mechanisms)
    elif security == "implicit":  # which has no clear phase
        auth = dataclasses.replace(auth, before_tls=())
    return ServerConfig(
        protocol=protocol,
        security=security,
        auth=auth,
        tls=TLSPolicy(client_certificate="none" if security == "none" else "optional"),
        line_limits=chance.choice(("strict", "strict", "lenient")),
        relay=chance.choice(RELAYS if may_log_in else RELAYS[:1]),
        deviations=deviations,
    )


def script_of(protocol, seed):
    """Return what the server is told to do; most servers are told nothing."""
    chance = random.Random(seed)  # noqa: S311 - it has to be the same each time
    script = Script(protocol)
    kind = chance.randrange(12)
    if kind == 0:
        script.faults = Faults.checked(seed, 0.3, FAULTS, 1.0)
    elif kind in (1, 2):
        verb = chance.choice((*ANSWERED[protocol], "NOOP", "QUIT" if protocol is not Protocol.IMAP else "LOGOUT"))
        told = script.on(verb, None)
        chance.choice(
            (
                lambda: told.reply(*SCRIPTED[protocol]).times(2),
                lambda: told.garble(seed).once(),
                lambda: told.delay(0.5).drip(0.1),
                told.drop,
                told.reset,
            )
        )()
    return script


def _mutated(chance, data):
    kind = chance.randrange(7)
    at = chance.randrange(len(data) + 1)
    if kind == 0:
        return data[:at] + chance.randbytes(chance.randrange(1, 4)) + data[at:]
    if kind == 1:
        return data[:at] + data[at + 1 :]
    if kind == 2:
        return data[:at]  # the next command follows on the same line
    if kind == 3:
        return data[:at] + data[max(0, at - 8) :]
    if kind == 4:
        return (
            data[:at]
            + chance.choice((b"\n", b"\r", b"\0", b"\r\n", b"\xff", b"{5}\r\n", b"{7+}\r\n", b'"'))
            + data[at:]
        )
    if kind == 5:
        return data.swapcase()
    return data.replace(b" ", chance.choice((b"  ", b"\t", b"")))


def _rewrapped(chance, word):
    """Return base64 with something changed in what it stands for."""
    try:
        return b64(_mutated(chance, base64.b64decode(word, validate=True))).decode()
    except ValueError:
        return word


def _huge(chance):
    size = chance.choice((500, 1000, 1100, 4000, 9000, 13_000, 40_000))
    return chance.choice((b"x", b"A1 NOOP ", b"AUTH PLAIN ", b"\x80", b"a b ", b"\0")) * (size // 4)


def _talk(chance, protocol, *, careful):
    pieces = [chance.choice(OPENINGS[protocol]).encode()] if chance.random() < 0.6 else []
    for number in range(chance.randrange(4, 22)):
        template = chance.choice(COMMANDS[protocol])
        words = {name: chance.choice(values) for name, values in WORDS.items() if name in template}
        if not careful and chance.random() < 0.3:
            words |= {name: _rewrapped(chance, words[name]) for name in WRAPPED if name in words}
        data = template.format(**words, tag=f"a{number}").encode() + b"\r\n"
        kind = chance.random()
        if not careful:
            if kind < 0.20:
                data = _mutated(chance, data)
            elif kind < 0.26:
                data = chance.randbytes(chance.randrange(1, 60)) + chance.choice((b"", b"\r\n"))
            elif kind < 0.29:
                data = _huge(chance) + chance.choice((b"", b"\r\n", b"\n"))
        pieces.append(data)
    if chance.random() < 0.3:  # several commands in one piece, as a hasty client sends them
        at = chance.randrange(len(pieces))
        pieces[at : at + 3] = [b"".join(pieces[at : at + 3])]
    return tuple(pieces)


def planned(seed, number):
    """Return one session of a run."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311
    protocol = chance.choice(tuple(Protocol))
    config = _config(chance, protocol)
    over_tls = config.security == "implicit" or chance.random() < 0.2
    careful = chance.random() < 0.3
    talk = _talk(chance, protocol, careful=careful)
    return Plan(config, chance.randrange(2**32), over_tls, talk, careful, adaptive=chance.random() < 0.3)
