"""A session as a person reads it: ``C:`` and ``S:`` lines, the TLS boundary drawn, secrets hidden."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import redact, replaced, replacements
from pytest_mailauth.model.hello import in_words
from pytest_mailauth.model.terms import HandshakeOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_mailauth.model.canary import Account

WIDTH: Final = 100
"""Longest line shown; a longer one is cut, and the cut is said."""
_BYTE: Final = re.compile("[\udc80-\udcff]")
"""What stands for a byte that is no UTF-8 (PEP 383)."""
SHORTEST: Final = 8
"""Characters of the shortest secret that is hidden only because a client presented it."""


def hidden_values(accounts: Iterable[Account]) -> tuple[tuple[str, str], ...]:
    """Return what must not be shown of these accounts, with the label that stands for it."""
    return _hidden_values(tuple(accounts))


@functools.lru_cache(maxsize=256)
def _hidden_values(accounts: tuple[Account, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((secret, f"<{name}>") for account in accounts for name, secret in account.secrets.items())


def hide(text: str, accounts: Iterable[Account]) -> str:
    """Return *text* without the secrets of these accounts, in every encoding."""
    return replaced(text, _forms(tuple(accounts)))


@functools.lru_cache(maxsize=256)
def _forms(accounts: tuple[Account, ...]) -> tuple[tuple[str, str], ...]:
    return replacements(_hidden_values(accounts))


def presented(entries: Iterable[e.Entry], accounts: Iterable[Account] = ()) -> tuple[tuple[str, str], ...]:
    """Return the secrets that a client presented, right or wrong, with the label that stands for each.

    Left out are the names of the accounts, which careless clients send as passwords, and what is too short to be told
    from other words.
    """
    names = {name for account in accounts for name in (account.username, account.address)}
    secrets = (str(entry.fact.secret) for entry in entries if isinstance(entry.fact, e.Authentication))
    return tuple((one, "<secret>") for one in dict.fromkeys(secrets) if len(one) >= SHORTEST and one not in names)


def render(entries: Iterable[e.Entry], hidden: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the transcript of one connection.

    The client's lines are shown as the engine understood them, with credentials replaced; the server's lines as
    they were sent. Text and binary of either side are made printable.

    Args:
        entries: What was observed.
        hidden: What must not be shown, each with the label to show in its place.
    """
    # Once more behind the cutting and escaping of lines, for what only then looks like one of the known forms.
    return redact("\n".join(_lines(entries, hidden)), hidden)


def _lines(entries: Iterable[e.Entry], hidden: tuple[tuple[str, str], ...]) -> Iterator[str]:
    def clean(text: str) -> str:
        return printable(redact(text, hidden))  # in this order: half a password is a leak too

    for fact in _whole(entry.fact for entry in entries):
        match fact:
            case e.Command(shown=shown) | e.Response(shown=shown):
                yield f"C: {clean(shown)}"
            case e.Sent(data=data):
                for line in redact(data.decode("utf-8", "backslashreplace"), hidden).splitlines():
                    yield f"S: {printable(line)}"
            case e.HelloSeen(hello=hello):
                offered = "/".join(hello.versions) or f"at most {hello.legacy_version}"
                name = f", SNI {clean(hello.server_name)}" if hello.server_name else ""
                yield f"C: [ClientHello: TLS {offered}{name}]"
            case e.HandshakeEnded() as ended:
                yield _boundary(ended)
            case e.Received() | e.Opened() | e.Authentication():
                pass
            case other:
                yield f"-- {_remark(other, clean)}"


def _whole(facts: Iterable[e.Fact]) -> Iterator[e.Fact]:
    """Yield the facts with replies that were sent in pieces put together, as long as nothing came between."""
    sent = b""
    for fact in facts:
        if isinstance(fact, e.Sent):
            sent += fact.data
            if not sent.endswith(b"\n"):
                continue
            fact, sent = e.Sent(sent), b""  # noqa: PLW2901 - the whole takes the place of its last piece
        elif sent:
            yield e.Sent(sent)
            sent = b""
        yield fact
    if sent:
        yield e.Sent(sent)


def _boundary(ended: e.HandshakeEnded) -> str:
    if ended.outcome is HandshakeOutcome.COMPLETED:
        return f"======== {in_words(ended.version)}, {ended.cipher} ".ljust(60, "=")
    detail = encodable(ended.alert or ended.reason or "")
    return f"======== no TLS: {ended.outcome}{f' ({detail})' if detail else ''} ".ljust(60, "=")


def _remark(fact: e.Fact, clean: Callable[[str], str]) -> str:
    match fact:
        case e.Deviated(kind=kind, verb=verb):
            return f"[{clean(f'{kind}: {verb}' if verb else kind)}]"
        case e.LeftUnread(octets=octets):
            return f"[{octets} bytes lay unread in the client's system]"
        case e.AlertReceived(alert=alert):
            return f"[client sent TLS alert {alert}]"
        case e.Closed(by=by, how=how):
            return f"[{by} ended the connection: {how}]"
        case e.Overdue():
            return "[the client was still connected after its time limit and was disconnected]"
        case e.Malformed(reason=reason):
            return f"[malformed: {clean(reason)}]"
        case e.Stored(size=size, recipients=recipients):
            return f"[message of {size} bytes taken for {', '.join(map(clean, recipients)) or 'a mailbox'}]"
        case e.Failed(error=error):
            return f"[the fake server failed] {clean((error.strip().splitlines() or [''])[-1])}"
        case _:
            return f"[{type(fact).__name__}]"


def printable(text: str) -> str:
    """Return *text* on one line, control characters escaped, cut to a readable length."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in encodable(text))
    return clean if len(clean) <= WIDTH else f"{clean[:WIDTH]}... ({len(clean)} characters)"


def encodable(text: str) -> str:
    r"""Return *text* with what cannot be printed escaped: lone surrogates, most of which stand for bytes (PEP 383).

    Examples:
        >>> print(encodable(b"b\xff".decode("utf-8", "surrogateescape") + "\ud800"))
        b\xff\ud800
    """
    shown = _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return shown.encode("utf-8", "backslashreplace").decode()


def presentable(text: str, hidden: tuple[tuple[str, str], ...]) -> str:
    """Return *text* as it may be shown: without the *hidden* values, and with nothing that cannot be printed."""
    return encodable(redact(text, hidden))
