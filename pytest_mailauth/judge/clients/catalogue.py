"""The clients that can be judged by name, and what to say about a name that is none of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.clients import stdlib, thirdparty
from pytest_mailauth.model.errors import ConfigError

if TYPE_CHECKING:
    from pytest_mailauth.judge.clients.client import Client


STYLES: Final = {
    "default": "in its shortest working call, as the library does it by itself",
    "verifying": "with a TLS context that verifies chain and host name",
}
"""What the part of a client's name behind the colon means."""


def meaning_of(name: str) -> str:
    """Return what the style in a client's name means, or nothing."""
    return STYLES.get(name.partition(":")[2], "")


def names() -> tuple[str, ...]:
    """Return the names that :func:`builtin` takes on this host."""
    return (*stdlib.NAMES, *(name for name in thirdparty.INSTALL if thirdparty.is_installed(name)))


def builtin(name: str) -> tuple[Client, ...]:
    """Return the clients behind a name such as ``"smtplib"`` (each style of it) or ``"smtplib:verifying"``.

    Raises:
        ConfigError: There is no such client, or it is not installed; the message says what there is.
    """
    wanted, _, style = name.partition(":")
    known = {each.casefold(): each for each in (*stdlib.NAMES, *thirdparty.INSTALL)}
    library = known.get(wanted.casefold())
    if library is None:
        near = difflib.get_close_matches(wanted.casefold(), known, 1)
        guess = f"; did you mean {known[near[0]]!r}?" if near else ""
        raise ConfigError(
            f"there is no built-in client {wanted!r}{guess}\n"
            f"Built in and installed: {', '.join(names())}.\n"
            f"To judge a program: mailauth check --protocol smtp -- {wanted} ARGUMENTS"
        )
    if library in stdlib.NAMES:
        found = stdlib.clients(library)
    elif thirdparty.is_installed(library):
        found = thirdparty.clients(library)
    else:
        raise ConfigError(
            f"{library} is not installed; to install it: {thirdparty.INSTALL[library]}\n"
            f"Built in and installed: {', '.join(names())}."
        )
    wanted = f"{library}:{style}".casefold()
    chosen = tuple(client for client in found if not style or client.name.casefold() == wanted)
    if not chosen:
        raise ConfigError(
            f"{library} has no style {style!r}; use one of {', '.join(client.name for client in found)}, "
            f"or {library} for all of them"
        )
    return chosen
