"""What the tests of the SMTP engine share: one account, and a talk that is always cut in two ways."""

import base64
from itertools import pairwise

from engine_talk import deliver

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.servers.engines.contract import Send, StartTLS
from pytest_mailauth.servers.engines.smtp import SmtpEngine
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy

PASSWORD = "Pw1f0e2d3c4b5a69788796a5b4"
ALICE = Account("alice-1a2b3c4d@example.test", Secret(PASSWORD), "alice@example.test")


def b64(text):
    return base64.b64encode(text.encode()).decode()


PLAIN = b64(f"\0{ALICE.username}\0{PASSWORD}")
WRONG = b64(f"\0{ALICE.username}\0nonsense")
USER, PASS = b64(ALICE.username), b64(PASSWORD)
ASK_USER, ASK_PASS = b64("Username:"), b64("Password:")


def server(*, over_tls=True, **settings):
    store = MailStore((ALICE,))
    policy = Policy(ServerConfig(protocol="smtp", **settings), store.accounts)
    return SmtpEngine(policy, store, over_tls=over_tls), store


def settled(outputs):
    """Return *outputs* with neighbouring replies joined: how many pieces they are sent in follows from how they came."""
    joined = []
    for output in outputs:
        if joined and isinstance(output, Send) and isinstance(joined[-1], Send):
            joined[-1] = Send(joined[-1].data + output.data)
        else:
            joined.append(output)
    return joined


def cut_at(data, cuts):
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def talk(data, *, over_tls=True, **settings):
    """Send *data* whole and byte by byte; both must give the same. Return the outputs and the store."""
    whole, store = server(over_tls=over_tls, **settings)
    outputs = settled([*whole.greet(), *deliver(whole, [data]), *whole.eof()])
    bytewise, _ = server(over_tls=over_tls, **settings)
    pieces = [data[at : at + 1] for at in range(len(data))]
    assert settled([*bytewise.greet(), *deliver(bytewise, pieces), *bytewise.eof()]) == outputs
    return outputs, store


def replies(outputs):
    sent = b"".join(
        output.data if isinstance(output, Send) else output.reply
        for output in outputs
        if isinstance(output, Send | StartTLS)
    )
    return sent.decode("utf-8", "surrogateescape").split("\r\n")[1:-1]


def codes(outputs):
    return [line[:3] for line in replies(outputs) if line[3:4] != "-"]


def facts(outputs, kind):
    return [output for output in outputs if isinstance(output, kind)]


def lines(*commands):
    return "".join(f"{command}\r\n" for command in commands).encode()


ENVELOPE = (
    "EHLO client.test",
    f"AUTH PLAIN {PLAIN}",
    "MAIL FROM:<bob@example.test>",
    "RCPT TO:<alice@example.test>",
    "DATA",
)


def submit(content, *, end=b".\r\n", envelope=ENVELOPE, **settings):
    return talk(lines(*envelope) + content + end + b"QUIT\r\n", **settings)
