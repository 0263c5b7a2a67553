"""SASL mechanisms as data: one row a mechanism, the same for SMTP, POP3 and IMAP (RFC 4422).

An exchange is a generator: it yields challenges, is sent responses, and returns the credentials it received.
It never sees base64, continuation markers or the protocol around it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Generator
from typing import Final, NamedTuple

from pytest_mailauth.model.canary import Secret


class SaslError(Exception):
    """The client's response breaks the mechanism's syntax."""


class Credentials(NamedTuple):
    """What a client presented: authentication identity, password, authorization identity (RFC 4422 section 3.4.1)."""

    identity: str
    secret: Secret
    authorization: str = ""


Exchange = Generator[bytes, bytes, Credentials]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _plain(initial: bytes | None) -> Exchange:
    """PLAIN: one message, ``[authzid] NUL authcid NUL passwd`` (RFC 4616 section 2)."""
    message = initial if initial is not None else (yield b"")
    parts = message.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise SaslError("a PLAIN message is [authzid] NUL authcid NUL passwd (RFC 4616 section 2)")
    return Credentials(_text(parts[1]), Secret(_text(parts[2])), _text(parts[0]))


def _login(initial: bytes | None) -> Exchange:
    """LOGIN: user name, then password. Never standardised (draft-murchison-sasl-login)."""
    username = initial if initial is not None else (yield b"Username:")
    password = yield b"Password:"
    return Credentials(_text(username), Secret(_text(password)))


MECHANISMS: Final[dict[str, Callable[[bytes | None], Exchange]]] = {"PLAIN": _plain, "LOGIN": _login}
"""Mechanism name to its server side. The argument is the initial response, or None when there was none."""


def begin(mechanism: str, initial: bytes | None) -> Exchange:
    """Return the exchange of *mechanism* (any case); *initial* is the decoded initial response or None."""
    return MECHANISMS[mechanism.upper()](initial)


def decode_response(line: bytes) -> bytes:
    """Return the bytes behind a base64 *line*; ``=`` stands for an empty initial response (RFC 4954 section 4).

    Raises:
        SaslError: The line is not base64.
    """
    if line == b"=":
        return b""
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise SaslError("the response is not base64") from error


def encode_challenge(challenge: bytes) -> bytes:
    """Return *challenge* as the base64 line that follows the protocol's continuation marker."""
    return base64.b64encode(challenge)
