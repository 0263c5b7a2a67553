"""What a client is told of a server before it connects: protocol, port, security. No TLS and no name here."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.model.terms import RELAY_PORT, STANDARD_PORTS, Protocol, Security
from pytest_mailauth.strategies.cases import mix, one

WELL_KNOWN: Final = (
    *(STANDARD_PORTS[protocol, Security.IMPLICIT] for protocol in (Protocol.SMTP, Protocol.IMAP, Protocol.POP3)),
    *(STANDARD_PORTS[protocol, Security.STARTTLS] for protocol in (Protocol.SMTP, Protocol.IMAP, Protocol.POP3)),
    RELAY_PORT,
)
"""The ports that stand for a protocol and a mode (RFC 8314 section 3), implicit TLS first; port 25 last."""
ALTERNATIVE: Final = 2525
"""The port that providers offer where 25, 465 and 587 are blocked. It stands for no mode."""
FAVOURITES: Final = (2465, 2587, 8025, 1025, 10025, 2993, 1993, 8143, 1143, 1110, 2110)
"""Ports of one's own that look like a well-known one."""
NEIGHBOURS: Final = tuple(
    sorted({port + step for port in WELL_KNOWN for step in (-1, 1)} - set(WELL_KNOWN)),
)
"""Ports that are a well-known one but for a slip."""


def protocols() -> st.SearchStrategy[Protocol]:
    """Return protocols.

    Distribution:
        1/3 smtp: SMTP.
        1/3 imap: IMAP.
        1/3 pop3: POP3.

    Shrinks to: ``Protocol.SMTP``.
    """
    order = (Protocol.SMTP, Protocol.IMAP, Protocol.POP3)
    return mix("protocols", *((1, protocol.value, st.just(protocol)) for protocol in order))


def securities() -> st.SearchStrategy[Security]:
    """Return ways in which a connection becomes secure (RFC 8314 section 3), or does not.

    Distribution:
        2/5 implicit: implicit TLS.
        2/5 starttls: STARTTLS.
        1/5 none: no TLS at all.

    Shrinks to: ``Security.IMPLICIT``.
    """
    return mix(
        "securities",
        (2, "implicit", st.just(Security.IMPLICIT)),
        (2, "starttls", st.just(Security.STARTTLS)),
        (1, "none", st.just(Security.NONE)),
    )


def ports() -> st.SearchStrategy[int]:
    """Return port numbers from 0 to 65535.

    0 is no port to connect to; many libraries take it for "the default one", and so it is worth a try.

    Distribution:
        6/12 well known: 465, 993, 995, 587, 143, 110 and 25.
        1/12 2525: the alternative port of many providers.
        1/12 favourite: one's own that looks like a well-known one, such as 2587 or 1993.
        1/12 neighbour: one beside a well-known one, such as 466.
        1/12 zero: 0.
        1/12 last: 65535.
        1/12 any: 1 to 65535.

    Shrinks to: 465.

    Examples:
        >>> from hypothesis import find
        >>> find(ports(), lambda port: port not in (25, 110, 143, 465, 587, 993, 995))
        2525
    """
    return mix(
        "ports",
        (6, "well known", one(WELL_KNOWN)),
        (1, "2525", st.just(ALTERNATIVE)),
        (1, "favourite", one(FAVOURITES)),
        (1, "neighbour", one(NEIGHBOURS)),
        (1, "zero", st.just(0)),
        (1, "last", st.just(65535)),
        (1, "any", st.integers(1, 65535)),
    )
