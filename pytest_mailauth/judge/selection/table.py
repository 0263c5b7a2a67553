"""The decision table of the source document and of RFC 8314: port, stated mode and credentials to what a client does.

The rows are asked in order; the first that fits decides. There is a row for every question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.judge.selection.situation import Situation

MODES: Final[dict[tuple[Protocol, int], Security]] = {
    **{(protocol, port): mode for (protocol, mode), port in STANDARD_PORTS.items()},
    (Protocol.SMTP, RELAY_PORT): Security.STARTTLS,
}
"""What a port number stands for, by protocol (S9, S13, S14; RFC 8314 section 3)."""

PORTS: Final = frozenset(port for _, port in MODES)
"""Every port number that stands for a mode, whatever the protocol."""

REFUSE: Final = "refuse"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What it is called.
        when: The question that it is for, in words.
        plan: ``"implicit"``, ``"starttls"``, ``"none"``, ``"refuse"``, ``"as stated"`` or ``"as the port says"``.
        complaint: What the user is told who is refused; empty for the others.
        sources: Paragraphs of the source document (S-numbers) and sections of RFCs.
    """

    name: str
    when: str
    plan: str
    complaint: str = ""
    sources: tuple[str, ...]

    def fits(self, asked: Situation) -> bool:
        """Return whether this is the row for a question, if none before it was."""
        return _FITS[self.name](asked)


AS_STATED: Final = "as stated"
AS_PORT_SAYS: Final = "as the port says"

TABLE: Final = (
    Row(
        name="no-such-port",
        when="The port is not one of 1 to 65535.",
        plan=REFUSE,
        complaint="there is no such port",
        sources=("S10",),
    ),
    Row(
        name="cleartext-with-credentials",
        when="No TLS is stated, and the client will log in.",
        plan=REFUSE,
        complaint="a password must not cross in clear: state implicit or starttls",
        sources=("S9", "S12", "RFC 8314 section 5.2"),
    ),
    Row(
        name="stated",
        when="A mode is stated.",
        plan=AS_STATED,
        sources=("S10", "RFC 8314 section 3"),
    ),
    Row(
        name="standard-port",
        when="The port stands for a mode: 465, 993 and 995 for implicit TLS, 25, 587, 110 and 143 for STARTTLS.",
        plan=AS_PORT_SAYS,
        sources=("S9", "S13", "S14", "RFC 8314 section 3"),
    ),
    Row(
        name="port-to-choose",
        when="Neither port nor mode is stated.",
        plan=Security.IMPLICIT,
        sources=("S6", "S14", "RFC 8314 section 3"),
    ),
    Row(
        name="custom-port",
        when="The port stands for no mode of this protocol, and none is stated.",
        plan=REFUSE,
        complaint="this port does not tell its TLS mode: state implicit or starttls",
        sources=("S10",),
    ),
)
"""The table."""

_FITS: Final[dict[str, Callable[[Situation], bool]]] = {
    "no-such-port": lambda asked: asked.port is not None and not 1 <= asked.port <= 65535,
    "cleartext-with-credentials": lambda asked: asked.stated is Security.NONE and asked.credentials,
    "stated": lambda asked: asked.stated is not None,
    "standard-port": lambda asked: (asked.protocol, asked.port) in MODES,
    "port-to-choose": lambda asked: asked.port is None,
    "custom-port": lambda _: True,
}


def row_for(asked: Situation) -> Row:
    """Return the row that decides."""
    return next(row for row in TABLE if row.fits(asked))


def plan_for(asked: Situation) -> str:
    """Return what the table says: ``"implicit"``, ``"starttls"``, ``"none"`` or ``"refuse"``.

    Examples:
        >>> from pytest_mailauth.judge.selection.situation import Situation
        >>> plan_for(Situation(protocol=Protocol.SMTP, port=587))
        'starttls'
        >>> plan_for(Situation(protocol=Protocol.SMTP, port=2525))
        'refuse'
    """
    row = row_for(asked)
    if row.plan == AS_STATED:
        return str(asked.stated)
    if row.plan == AS_PORT_SAYS and asked.port is not None:
        return str(MODES[asked.protocol, asked.port])
    return str(row.plan)
