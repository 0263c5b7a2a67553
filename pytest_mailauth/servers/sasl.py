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
    """What a client presented: authentication identity, secret, authorization identity (RFC 4422 section 3.4.1).

    The secret is a password, or a bearer token where *is_token* says so.
    """

    identity: str
    secret: Secret
    authorization: str = ""
    is_token: bool = False


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


def _fields(message: bytes) -> dict[str, str]:
    """Return the ``key=value`` pairs of an OAuth message, which end in Control-A (RFC 7628 section 3.1)."""
    if not message.endswith(b"\x01\x01"):
        raise SaslError("an OAuth message ends in two Control-A (RFC 7628 section 3.1)")
    pairs = (_text(pair).partition("=") for pair in message[:-2].split(b"\x01"))
    return {key: value for key, _, value in pairs}


def _bearer(fields: dict[str, str]) -> Secret:
    scheme, _, token = fields.get("auth", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise SaslError("an OAuth message holds auth=Bearer and the token (RFC 6750 section 2.1)")
    return Secret(token)


def _xoauth2(initial: bytes | None) -> Exchange:
    """XOAUTH2: ``user=NAME ^A auth=Bearer TOKEN ^A ^A`` (vendor mechanism of Google and Microsoft)."""
    fields = _fields(initial if initial is not None else (yield b""))
    return Credentials(fields.get("user", ""), _bearer(fields), is_token=True)


def _oauthbearer(initial: bytes | None) -> Exchange:
    """OAUTHBEARER: ``n,a=NAME, ^A`` and key-value pairs with ``auth=Bearer TOKEN`` (RFC 7628 section 3.1)."""
    message = initial if initial is not None else (yield b"")
    header, _, pairs = message.partition(b"\x01")
    flag, _, rest = _text(header).partition(",")
    identity, _, surplus = rest.partition(",")
    if flag not in ("n", "y") or surplus or not identity.startswith("a="):
        raise SaslError("an OAUTHBEARER message begins with n,a=NAME, (RFC 7628 section 3.1)")
    return Credentials(identity[2:].replace("=2C", ",").replace("=3D", "="), _bearer(_fields(pairs)), is_token=True)


MECHANISMS: Final[dict[str, Callable[[bytes | None], Exchange]]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "XOAUTH2": _xoauth2,
    "OAUTHBEARER": _oauthbearer,
}
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
