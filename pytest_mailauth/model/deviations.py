"""The closed set of ways in which a server may misbehave on purpose. Each is data; none knows a scenario.

Byte templates may hold ``{tag}`` (the tag of the IMAP command being answered), ``{next}`` (the tag after it),
``{next2}`` to ``{next4}`` (those after that) and, in an answer, ``{line}`` (the command being answered, as it came and
without its tag). ``{decoy}`` is the address of a further server of a trial, ``host:port``, and ``{decoy host}`` its
name: :func:`pointed` puts them in before there is a server.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.floods import Flood, Trickle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mailauth.model.obsolete import Obsolete
    from pytest_mailauth.model.terms import Certificate

_DIGITS: Final = b"0123456789"
_NEXT: Final = (b"{next}", b"{next2}", b"{next3}", b"{next4}")


@dataclass(frozen=True, kw_only=True)
class Greet:
    """Greet with these bytes instead of the honest greeting; with none at all, say nothing before the first command."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Hide:
    """Leave these capabilities out of every list: EHLO keywords and POP3 tags by the first word, IMAP's as a whole."""

    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Announce:
    """Add these capability lines to the list of one layer, whether or not they are true."""

    lines: tuple[str, ...]
    over_tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer a command with these bytes and do not carry it out; without any, do not answer at all.

    After *pause* seconds the bytes of *rest* follow, and what the client sends meanwhile waits. With *end* ``"close"``
    or ``"reset"`` the connection ends behind that.
    """

    verb: str
    reply: bytes
    over_tls: bool = False
    rest: bytes = b""
    pause: float = 0.0
    end: str = ""


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Carry a command out, and let its reply wait for so many seconds; what the client sends meanwhile waits too."""

    verb: str
    seconds: float
    over_tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Agree:
    """Start TLS with these bytes in place of the honest STARTTLS success reply."""

    reply: bytes


@dataclass(frozen=True, kw_only=True)
class Precede:
    """Let these bytes come in front of the honest reply to a command, which is carried out."""

    verb: str
    data: bytes
    over_tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Let these bytes follow the STARTTLS success reply in the same segment, before the handshake.

    With *later* they leave in a segment of their own, so many seconds after it; the ClientHello waits for that.
    """

    data: bytes
    later: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Preface:
    """Say these bytes in clear as soon as a client has connected, where TLS begins at once."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class GreetAgain:
    """Greet with these bytes inside TLS once more, where TLS began with STARTTLS."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class StayClear:
    """Give the STARTTLS success reply, answer the ClientHello with these cleartext bytes, and go on in clear.

    Without any bytes the ClientHello is not answered.
    """

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Withhold:
    """Inside TLS, hold every reply back; after *patience* seconds let out a first piece of it, and no more.

    The piece is the first line of a reply of several lines, or the first byte of a one-line reply.
    """

    patience: float


@dataclass(frozen=True, kw_only=True)
class Slow:
    """Let every reply wait *delay* seconds, then send it byte by byte, each in a segment of its own.

    Between two bytes pass *between* seconds; by default they leave together.
    """

    delay: float
    between: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Reset the connection at one of these commands inside TLS; whoever comes after that meets *then* instead.

    With *resets* false the command is carried out, and the connection goes on.
    """

    verbs: tuple[str, ...]
    then: tuple[Deviation, ...] = ()
    resets: bool = True


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Refuse every login with these mechanisms, right or wrong, as though the secret were wrong.

    Beside SASL mechanisms there are ``"USER"`` and ``"APOP"`` of POP3 and ``"LOGIN-COMMAND"`` of IMAP.
    """

    mechanisms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Admit:
    """Let in whoever begins an exchange with one of these mechanisms, without a challenge."""

    mechanisms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """Send this line in the place of every challenge of these mechanisms, and take the responses as they come.

    The line is what stands behind the continuation marker: base64, or what nobody can decode.
    """

    mechanisms: tuple[str, ...]
    line: bytes


@dataclass(frozen=True, kw_only=True)
class SwapPrompts:
    """Ask with the mechanism LOGIN for the password first, and for the user name second."""


@dataclass(frozen=True, kw_only=True)
class MisplaySCRAM:
    """Go through a SCRAM exchange otherwise than a server has to (RFC 5802 section 5).

    Attributes:
        signature: The proof that the server knows the password: ``"right"``, ``"wrong"`` by one bit, or ``"missing"``:
            success is told without it.
        nonce: What the server makes of the client's nonce: ``"extended"``, ``"replaced"`` by another, or ``"repeated"``
            without anything of its own.
        iterations: The iteration count that is told; None for the usual one. It is not made, so nobody who makes it
            is let in.
        extension: What the server's first message begins with, for example a mandatory extension ``"m=x,"``.
    """

    signature: str = "right"
    nonce: str = "extended"
    iterations: int | None = None
    extension: str = ""

    @property
    def spoils_first_message(self) -> bool:
        """True when the server's first message is not what it should be."""
        return self.nonce != "extended" or self.iterations is not None or self.extension != ""


@dataclass(frozen=True, kw_only=True)
class BreakOff:
    """Answer these commands with the beginning of a reply, and end the connection there.

    TCP ends in good order, and TLS does not: there is no close_notify (RFC 8446 section 6.1).

    Attributes:
        verbs: The commands, ``"UID FETCH"`` by two words; ``"DATA-END"`` for the end of an SMTP message.
        reply: The beginning of the reply.
        over_tls: The layer on which this happens.
    """

    verbs: tuple[str, ...]
    reply: bytes = b""
    over_tls: bool = True


@dataclass(frozen=True, kw_only=True)
class AllowEarlyData:
    """Give session tickets that allow early data (RFC 8446 section 4.2.10). It takes a server that gives tickets."""


@dataclass(frozen=True, kw_only=True)
class RefuseHello:
    """Answer every ClientHello with a fatal alert, given by its code point (RFC 8446 section 6)."""

    alert: int


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Show another certificate to whoever connects once a client has logged in."""

    certificate: Certificate


@dataclass(frozen=True, kw_only=True)
class Negotiate:
    """Negotiate TLS with this and with nothing in its place. Versions and ciphers of the settings do not count then."""

    what: Obsolete


Deviation = (
    Greet
    | Hide
    | Announce
    | Answer
    | Delay
    | Agree
    | Precede
    | Trail
    | Preface
    | GreetAgain
    | StayClear
    | Withhold
    | Slow
    | Cut
    | Refuse
    | Admit
    | Challenge
    | SwapPrompts
    | MisplaySCRAM
    | BreakOff
    | RefuseHello
    | AllowEarlyData
    | Swap
    | Negotiate
    | Flood
    | Trickle
)


def fill(template: bytes, tag: bytes = b"*", line: bytes = b"") -> bytes:
    """Return *template* with ``{tag}``, ``{next}`` and so on and ``{line}`` replaced.

    *next* counts up the number at the end of *tag*. What a client sent is put in last, and not looked at again.
    """
    if b"{" not in template:
        return template
    filled, following = template.replace(b"{tag}", tag), tag
    for name in _NEXT:
        following = _next(following)
        filled = filled.replace(name, following)
    return filled.replace(b"{line}", line)


def pointed(deviations: tuple[Deviation, ...], host: str, port: int) -> tuple[Deviation, ...]:
    """Return *deviations* with ``{decoy}`` and ``{decoy host}`` replaced, in bytes and in capability lines."""
    texts = {"{decoy}": f"{host}:{port}", "{decoy host}": host}
    return tuple(
        replace(one, **{item.name: _pointed(getattr(one, item.name), texts) for item in fields(one)})
        for one in deviations
    )


def _pointed(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_pointed(item, texts) for item in value)
    for template, text in texts.items():
        if isinstance(value, bytes):
            value = value.replace(template.encode(), text.encode())
        elif isinstance(value, str):
            value = value.replace(template, text)
    return value


def _next(tag: bytes) -> bytes:
    """Count up digit by digit: a client chooses the length of its tags, and Python reads no number of any length."""
    number = tag[len(tag.rstrip(_DIGITS)) :]
    nines = len(number) - len(number.rstrip(b"9"))
    if nines == len(number):
        counted = b"1" + b"0" * nines if number else b""
    else:
        rises = len(number) - nines - 1
        counted = number[:rises] + b"%d" % (int(number[rises : rises + 1]) + 1) + b"0" * nines
    return tag[: len(tag) - len(number)] + counted
