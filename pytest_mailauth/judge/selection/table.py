"""The decision table of the source document and of the RFCs: what is known to what a client does, and why.

A row decides one thing: the TLS mode, the port, the host, the login, or the oldest TLS. For each of them the rows are
asked in order, and the first that fits decides. There is a row about the mode for every question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.selection.situation import Failure
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

NO_ANSWER: Final = (Failure.TIMEOUT, Failure.REFUSED)
"""What a blocked port looks like (S11)."""

NO_TLS: Final = (Failure.STRIPPED, Failure.HANDSHAKE, Failure.CERTIFICATE)
"""What there is where somebody stands between client and server, or the server is not the right one."""

ANY: Final = "any"


def _last(asked: Situation, failures: tuple[Failure, ...]) -> bool:
    return asked.failed is not None and asked.failed.failure in failures


COLUMNS: Final[dict[str, dict[str, Callable[[Situation], bool]]]] = {
    "protocol": {
        "SMTP": lambda asked: asked.protocol is Protocol.SMTP,
        "POP3, IMAP": lambda asked: asked.protocol is not Protocol.SMTP,
    },
    "port": {
        "none": lambda asked: asked.port is None,
        "outside 1 to 65535": lambda asked: asked.port is not None and not 1 <= asked.port <= 65535,
        "a standard one": lambda asked: (asked.protocol, asked.port) in MODES,
        "given": lambda asked: asked.port is not None,
    },
    "stated": {
        "no TLS": lambda asked: asked.stated is Security.NONE,
        "a mode": lambda asked: asked.stated is not None,
    },
    "login": {"yes": lambda asked: asked.credentials},
    "provider": {
        "known": lambda asked: asked.service is not None,
        "requires OAuth 2.0": lambda asked: asked.service is not None and asked.service.requires_oauth,
    },
    "network": {
        "no answer from 25": lambda asked: (
            _last(asked, NO_ANSWER) and asked.failed is not None and asked.failed.port == RELAY_PORT
        ),
        "no TLS to be had": lambda asked: _last(asked, NO_TLS),
    },
}
"""What is known, by column, and when it is so. ``"any"`` fits always.

Port "none": the client chooses one. Network "no answer": the last attempt timed out, or was refused; "no TLS to be
had": STARTTLS was not offered, the handshake failed, or the certificate is not to be trusted.
"""

REFUSE: Final = "refuse"
AS_STATED: Final = "as stated"
AS_PORT_SAYS: Final = "as the port says"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What it is called.
        decides: ``"mode"``, ``"port"``, ``"host"``, ``"login"`` or ``"oldest TLS"``.
        protocol, port, stated, login, provider, network: What has to be known, a key of the column in ``COLUMNS``;
            ``"any"`` by default.
        plan: What the client does. For a mode ``"implicit"``, ``"refuse"``, ``"as stated"`` or ``"as the port says"``.
        complaint: What the user is told where that is a refusal, or where one is allowed; empty for the others.
        sources: Paragraphs of the source document (S-numbers) and sections of RFCs.
    """

    name: str
    decides: str
    protocol: str = ANY
    port: str = ANY
    stated: str = ANY
    login: str = ANY
    provider: str = ANY
    network: str = ANY
    plan: str
    complaint: str = ""
    sources: tuple[str, ...]

    def fits(self, asked: Situation) -> bool:
        """Return whether this is the row for a question, if none before it was."""
        known = {column: getattr(self, column) for column in COLUMNS}
        return all(value == ANY or COLUMNS[column][value](asked) for column, value in known.items())


TABLE: Final = (
    Row(
        name="no-such-port",
        decides="mode",
        port="outside 1 to 65535",
        plan=REFUSE,
        complaint="there is no such port",
        sources=("S10",),
    ),
    Row(
        name="cleartext-with-login",
        decides="mode",
        stated="no TLS",
        login="yes",
        plan=REFUSE,
        complaint="a password must not cross in clear: state implicit or starttls",
        sources=("S9", "S12", "RFC 8314 section 5.2"),
    ),
    Row(
        name="tls-failed",
        decides="mode",
        login="yes",
        network="no TLS to be had",
        plan=REFUSE,
        complaint="there is no secure connection to this server; the password was not sent",
        sources=("S9", "RFC 8314 section 5.2"),
    ),
    Row(name="stated", decides="mode", stated="a mode", plan=AS_STATED, sources=("S10", "S14")),
    Row(
        name="standard-port",
        decides="mode",
        port="a standard one",
        plan=AS_PORT_SAYS,
        sources=("S9", "S13", "S14", "RFC 8314 section 3"),
    ),
    Row(
        name="mode-to-choose",
        decides="mode",
        port="none",
        plan=Security.IMPLICIT,
        sources=("S14", "RFC 8314 section 3"),
    ),
    Row(
        name="custom-port",
        decides="mode",
        plan=REFUSE,
        complaint="this port does not tell its TLS mode: state implicit or starttls",
        sources=("S10",),
    ),
    Row(
        name="blocked-25",
        decides="port",
        protocol="SMTP",
        network="no answer from 25",
        plan="587 or 465",
        complaint="port 25 may be blocked by the provider of this network: use port 587 or 465",
        sources=("S6", "S7", "S11"),
    ),
    Row(name="stated-port", decides="port", port="given", plan=AS_STATED, sources=("S10",)),
    Row(
        name="submission-port",
        decides="port",
        protocol="SMTP",
        plan="465 or 587",
        sources=("S6", "RFC 6409 section 3.1", "RFC 8314 section 3.3"),
    ),
    Row(
        name="access-port",
        decides="port",
        protocol="POP3, IMAP",
        plan="the one that stands for the mode",
        sources=("S13", "S14", "RFC 8314 section 3"),
    ),
    Row(
        name="right-host",
        decides="host",
        provider="known",
        plan="the provider's, for sending or for retrieving",
        sources=("S4", "S8"),
    ),
    Row(
        name="oauth-required",
        decides="login",
        login="yes",
        provider="requires OAuth 2.0",
        plan="token",
        complaint="this provider takes no password: log in with OAuth 2.0",
        sources=("S15", "S16"),
    ),
    Row(name="tls-floor", decides="oldest TLS", plan="1.2", sources=("S5", "S9", "S12", "RFC 8997")),
)
"""The table."""


def rows_for(asked: Situation) -> dict[str, Row]:
    """Return the rows that decide, by what they decide; there is none for what nobody has to decide.

    Examples:
        >>> from pytest_mailauth.judge.selection.situation import Attempted, Situation
        >>> blocked = Attempted(port=25, mode=Security.STARTTLS, failure=Failure.TIMEOUT)
        >>> rows = rows_for(Situation(protocol=Protocol.SMTP, port=25, before=(blocked,)))
        >>> {decides: row.name for decides, row in rows.items()}
        {'oldest TLS': 'tls-floor', 'port': 'blocked-25', 'mode': 'standard-port'}
    """
    return {row.decides: row for row in reversed(TABLE) if row.fits(asked)}


def plan_for(asked: Situation) -> str:
    """Return which TLS mode the table says: ``"implicit"``, ``"starttls"``, ``"none"`` or ``"refuse"``.

    Examples:
        >>> from pytest_mailauth.judge.selection.situation import Situation
        >>> plan_for(Situation(protocol=Protocol.SMTP, port=587))
        'starttls'
        >>> plan_for(Situation(protocol=Protocol.SMTP, port=2525))
        'refuse'
    """
    row = rows_for(asked)["mode"]
    if row.plan == AS_STATED:
        return str(asked.stated)
    if row.plan == AS_PORT_SAYS and asked.port is not None:
        return str(MODES[asked.protocol, asked.port])
    return str(row.plan)
