"""What the tests of the IMAP engine share: one account, a little mail, and scripts of C: and S: lines.

In a script ``~~`` is a TLS handshake and ``S!`` is the server closing. Words in braces stand for what WORDS says;
braces around digits are literals, as on the wire.
"""

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby, pairwise

from engine_talk import deliver

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.servers.engines.contract import Close, Send, StartTLS
from pytest_mailauth.servers.engines.imap import ImapEngine
from pytest_mailauth.servers.mailstore import INBOX, MailStore
from pytest_mailauth.servers.policy import Policy

PASSWORD = "Pw1f0e2d3c4b5a69788796a5b4"
ALICE = Account("alice-1a2b3c4d@example.test", Secret(PASSWORD), "alice@example.test")
BOB = Account("bob-5e6f7a8b@example.test", Secret("Pw00112233445566778899aabb"), "bob@example.test")

PLAIN_MAIL = (
    b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred Foobar <foobar@Blurdybloop.test>\r\n"
    b"Subject: afternoon meeting\r\nTo: mooch@owatagu.test\r\nMessage-Id: <B27397@Blurdybloop.test>\r\n"
    b"\r\nHello Joe, do you think we can meet at 3:30 tomorrow?\r\n"
)
SMALL_MAIL = b"Subject: two\r\nFrom: bob@example.test\r\n\r\nsecond body\r\n"
LAST_MAIL = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: bob@example.test\r\nX-Tag: deep\r\n\r\nthird\r\n"
MAIL = (
    (PLAIN_MAIL, ("\\Seen",), datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(timedelta(hours=-7)))),
    (SMALL_MAIL, (), datetime(2024, 2, 1, 9, 30, 5, tzinfo=UTC)),
    (LAST_MAIL, ("\\Flagged", "$Work"), datetime(2024, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=2)))),
)


def b64(text):
    return base64.b64encode(text.encode()).decode()


CAPABLE = "IMAP4rev1 SASL-IR ID LITERAL+ UIDPLUS UNSELECT CHILDREN"
WORDS = {
    "user": ALICE.username,
    "password": PASSWORD,
    "user_literal": f"{{{len(ALICE.username)}}}",
    "user_literal+": f"{{{len(ALICE.username)}+}}",
    "password_literal": f"{{{len(PASSWORD)}}}",
    "plain": b64(f"\0{ALICE.username}\0{PASSWORD}"),
    "wrong": b64(f"\0{ALICE.username}\0nonsense"),
    "b64user": b64(ALICE.username),
    "b64password": b64(PASSWORD),
    "ask_user": b64("Username:"),
    "ask_password": b64("Password:"),
    "capable": CAPABLE,
    "in_tls": f"{CAPABLE} AUTH=PLAIN AUTH=LOGIN",
    "in_clear": f"{CAPABLE} STARTTLS LOGINDISABLED",
    "ready": "IMAP4rev1 server ready",
    "nothing": "",
    "many": "y" * 20_000,
    "system": "\\Answered \\Flagged \\Deleted \\Seen \\Draft",
}


def server(mail=MAIL, *, over_tls=True, **config):
    """Return an engine and the store behind it."""
    store = MailStore((ALICE, BOB))
    for content, flags, moment in mail:
        inbox(store).add(content, flags, moment)
    policy = Policy(ServerConfig(protocol="imap", **config), store.accounts)
    return ImapEngine(policy, store, over_tls=over_tls), store


def inbox(store):
    return store.mailbox(ALICE, INBOX)


def logged_in(mail=MAIL, *, select="INBOX", **config):
    """Return an engine with ALICE logged in and *select* selected, and its store."""
    engine, store = server(mail, **config)
    engine.greet()
    run(engine, f"A0 LOGIN {ALICE.username} {PASSWORD}")
    if select:
        run(engine, f"A0 SELECT {select}")
    return engine, store


def run(engine, *lines):
    """Send lines and return what the server says to them, as bytes."""
    data = b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines)
    return sent(deliver(engine, [data]))


def untagged(engine, *lines):
    """Send lines and return the untagged part of the reply; the command must succeed."""
    reply = run(engine, *lines)
    lines, _, last = reply.removesuffix(b"\r\n").rpartition(b"\r\n")
    assert re.fullmatch(rb"\S+ OK .*", last), reply
    return lines


def whole(data):
    return [data]


def bytewise(data):
    return [data[i : i + 1] for i in range(len(data))]


def cut_at(cuts):
    """Return a way of cutting: at the places that *cuts* names, modulo the length."""

    def cut(data):
        edges = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
        return [data[start:end] for start, end in pairwise(edges)]

    return cut


def sent(outputs):
    return b"".join(
        output.reply if isinstance(output, StartTLS) else output.data
        for output in outputs
        if isinstance(output, Send | StartTLS)
    )


def of(outputs, kind):
    return [output for output in outputs if isinstance(output, kind)]


def merged(outputs):
    """Return outputs with neighbouring Sends joined: what must not depend on how the input was cut."""
    result = []
    for output in outputs:
        if isinstance(output, Send) and result and isinstance(result[-1], Send):
            result[-1] = Send(result[-1].data + output.data)
        else:
            result.append(output)
    return result


def fill_in(text):
    return re.sub(r"\{([a-z]\w*\+?)\}", lambda found: WORDS[found[1]], text)


def steps(script):
    """Return a script as pairs of side and bytes: what is sent, what is expected, and the marks between them."""
    lines = [line.strip() for line in script.strip().splitlines()]
    for side, group in groupby(lines, lambda line: line[:2]):
        yield side, b"".join(fill_in(line[3:]).encode("utf-8") + b"\r\n" for line in group)


def play(engine, script, cut=whole):
    """Run a script against an engine, check every line of the server, and return all outputs."""
    outputs = engine.greet()
    expected = outputs
    for side, data in steps(script):
        if side == "C:":
            fresh = deliver(engine, cut(data))
            outputs, expected = outputs + fresh, expected + fresh
        elif side == "S:":
            said, wanted = sent(expected).decode(), data.decode()
            assert said == wanted, f"the server said\n{said}\ninstead of\n{wanted}"
            assert not of(expected[:-1], Close)
            expected = expected[-1:] if isinstance(expected[-1], Close | StartTLS) else []
        elif side == "~~":
            assert [type(output) for output in expected] == [StartTLS]
            expected = []
            outputs = outputs + engine.tls_started()
        else:
            assert expected == [Close()]
            expected = []
    assert expected == [], "the script does not say what the server answers last"
    return outputs
