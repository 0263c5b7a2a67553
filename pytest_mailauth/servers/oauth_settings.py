"""What may be asked of the authorization server and its tokens, checked where it is said. No decision is made here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.settings import check_seconds, check_text, names_of
from pytest_mailauth.servers.oauth_tokens import EVERYBODY, FORMATS, Everybody, users_of

if TYPE_CHECKING:
    from collections.abc import Sequence

SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
"""RFC 6749 section 3.3."""
MAIL_SCOPE: Final = "https://mail.example.test/"
"""The scope that lets a token into a mailbox; providers name theirs by a URL too."""
MAIL_AUDIENCE: Final = "mail.example.test"
"""Whom tokens are for, unless said otherwise: the mail servers."""
SHORTEST: Final = 24
"""The least length of an opaque token: a shorter one could be guessed, or found by chance."""


def is_target(text: str) -> bool:
    """Return whether *text* is an absolute URI without a fragment (RFC 6749 section 3.1.2)."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises what urlsplit itself lets pass
    except ValueError:
        return False
    return bool(parts.scheme) and "#" not in text and text.isascii()


def check_token(
    *,
    scope: object = None,
    audience: object = None,
    expires_in: object = None,
    format: object = None,  # noqa: A002 - the word that users know
    length: int | None = None,
) -> None:
    """Check what a token shall be; None for what was not said.

    Raises:
        ConfigError: One is of the wrong kind. The message names it, and what would be taken.
    """
    if scope is not None and not (isinstance(scope, str) and SCOPE.fullmatch(scope)):
        raise ConfigError(
            f"scope={scope!r} must be one scope or several with a space between them, such as 'mail.read mail.send' "
            "(RFC 6749 section 3.3)"
        )
    if audience is not None:
        check_text(audience, "audience", "'mail.example.test'")
    if expires_in is not None:
        check_seconds(expires_in, "expires_in", "0 for a token that has expired already")
    if format is not None and format not in FORMATS:
        raise ConfigError(f"format={format!r} is not known; use one of {', '.join(map(repr, FORMATS))}")
    if length is not None and (format == "jwt" or length < SHORTEST):
        raise ConfigError(f"length={length!r} is not possible; use {SHORTEST} or more, and only for opaque tokens")


def checked_client(client_id: object, client_secret: object, redirect_uris: object) -> tuple[str, ...]:
    """Check the registered client, and return where users may be sent back to.

    Raises:
        ConfigError: One is of the wrong kind. The secret is not shown.
    """
    check_text(client_id, "client_id", "'my-app'")
    if client_secret is not None and not (isinstance(client_secret, str) and client_secret):
        raise ConfigError("client_secret must be text of at least one character, or None for a random one")
    targets = names_of(redirect_uris, "redirect_uris", "absolute URIs")
    for target in targets:
        if not is_target(target):
            raise ConfigError(
                f"redirect_uris: {target!r} is no absolute URI without a fragment; use one such as "
                "'https://app.example.test/back' (RFC 6749 section 3.1.2)"
            )
    return targets


def checked_users(acts_for: Sequence[str | Account] | Account | Everybody) -> tuple[str, ...] | Everybody:
    """Return the names of the users for whom an application may act.

    Raises:
        ConfigError: It is neither a list of user names and accounts nor everybody.
    """
    if acts_for == EVERYBODY:
        return EVERYBODY
    users = (acts_for,) if isinstance(acts_for, Account) else acts_for
    if (
        isinstance(users, str)
        or not isinstance(users, list | tuple)
        or not all(isinstance(x, str | Account) for x in users)
    ):
        raise ConfigError(
            f"acts_for={acts_for!r} must be a list of user names or accounts, such as ('alice@example.test',), or "
            f"{EVERYBODY!r}"
        )
    return users_of(users)
