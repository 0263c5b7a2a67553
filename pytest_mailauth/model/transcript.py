"""A session as a person reads it: ``C:`` and ``S:`` lines, the TLS boundary drawn, secrets hidden."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import redact
from pytest_mailauth.model.terms import HandshakeOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_mailauth.model.canary import Account

WIDTH: Final = 100
"""Longest line shown; a longer one is cut, and the cut is said."""


def hidden_values(accounts: Iterable[Account]) -> tuple[tuple[str, str], ...]:
    """Return what must not be shown of these accounts, with the label that stands for it."""
    return _hidden_values(tuple(accounts))


@functools.lru_cache(maxsize=256)
def _hidden_values(accounts: tuple[Account, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((secret, f"<{name}>") for account in accounts for name, secret in account.secrets.items())


def render(entries: Iterable[e.Entry], accounts: Iterable[Account] = ()) -> str:
    """Return the transcript of one connection.

    The client's lines are shown as the engine understood them, with credentials replaced; the server's lines as
    they were sent. Text and binary of either side are made printable.
    """
    hidden = hidden_values(accounts)
    return "\n".join(redact(line, hidden) for line in _lines(entries))


def _lines(entries: Iterable[e.Entry]) -> Iterator[str]:
    for fact in _whole(entry.fact for entry in entries):
        match fact:
            case e.Command(shown=shown) | e.Response(shown=shown):
                yield f"C: {printable(shown)}"
            case e.Sent(data=data):
                for line in data.decode("utf-8", "backslashreplace").splitlines():
                    yield f"S: {printable(line)}"
            case e.HelloSeen(hello=hello):
                offered = "/".join(hello.versions) or f"at most {hello.legacy_version}"
                name = f", SNI {hello.server_name}" if hello.server_name else ""
                yield f"C: [ClientHello: TLS {offered}{name}]"
            case e.HandshakeEnded() as ended:
                yield _boundary(ended)
            case e.Received() | e.Opened() | e.Authentication():
                pass
            case other:
                yield f"-- {_remark(other)}"


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
        return f"======== TLS {ended.version}, {ended.cipher} ".ljust(60, "=")
    detail = ended.alert or ended.reason
    return f"======== no TLS: {ended.outcome}{f' ({detail})' if detail else ''} ".ljust(60, "=")


def _remark(fact: e.Fact) -> str:
    match fact:
        case e.Deviated(kind=kind, verb=verb):
            return f"[{kind}{f': {verb}' if verb else ''}]"
        case e.AlertReceived(alert=alert):
            return f"[client sent TLS alert {alert}]"
        case e.Closed(by=by, how=how):
            return f"[{by} ended the connection: {how}]"
        case e.Overdue():
            return "[the client was still connected after its time limit and was disconnected]"
        case e.Malformed(reason=reason):
            return f"[malformed: {printable(reason)}]"
        case e.Stored(size=size, recipients=recipients):
            return f"[message of {size} bytes taken for {', '.join(recipients) or 'a mailbox'}]"
        case e.Failed(error=error):
            return f"[the fake server failed] {error.strip().splitlines()[-1]}"
        case _:
            return f"[{type(fact).__name__}]"


def printable(text: str) -> str:
    """Return *text* on one line, control characters escaped, cut to a readable length."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return clean if len(clean) <= WIDTH else f"{clean[:WIDTH]}... ({len(clean)} characters)"
