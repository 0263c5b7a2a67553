"""What a test asserts about the messages that clients handed to one server: how many, and to whom.

It is the record of the sessions that is asked, so another server's messages never count.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.report.claims import fail, nobody

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_mailauth.model import events as e
    from pytest_mailauth.servers.server import MailServer


def assert_recipients(server: MailServer, recipients: Iterable[str]) -> None:
    r"""Assert to whom messages were submitted: the recipients of all envelopes (RFC 5321 section 2.3.1), in any order.

    A recipient counts once for each message. Domains are the same in upper and lower case, local parts are not
    (RFC 5321 section 2.4).

    Args:
        server: The SMTP server whose record is asked.
        recipients: The addresses, at least one.

    Raises:
        ClientViolation: The recipients are others, or no message was submitted.
        ConfigError: *recipients* is empty or a single string, or the server takes no messages.

    Examples:
        >>> import smtplib
        >>> from pytest_mailauth import MailServers, assert_recipients
        >>> with MailServers() as servers:
        ...     server = servers.smtp(security="none")
        ...     with smtplib.SMTP(server.host, server.port, timeout=2) as client:
        ...         _ = client.sendmail("app@example.test", ["a@example.test", "b@example.test"], "To: a\r\n\r\nHi")
        ...     assert_recipients(server, ["b@example.test", "a@example.test"])
    """
    __tracebackhide__ = True
    if isinstance(recipients, str):
        raise ConfigError(f"recipients={recipients!r} must be a list of addresses, not one string")
    wanted = Counter(_address(recipient) for recipient in recipients)
    if not wanted:
        raise ConfigError("recipients is empty; for no message at all use assert_message_count(server, 0)")
    stored = _taken(server, "assert_recipients", (Protocol.SMTP,))
    found = Counter(_address(recipient) for message in stored for recipient in message.recipients)
    if found == wanted:
        return
    expected = f"Messages are submitted to {_listed(wanted)}."
    missing, surplus = wanted - found, found - wanted
    parts = [f"{_listed(missing)} got none"] if missing else []
    parts += [f"{_listed(surplus)} got one too"] if surplus else []
    actual = "; ".join(parts) if stored else nobody(server.sessions, "submitted a message")
    fail(server, "assert_recipients", expected, actual)


def assert_message_count(server: MailServer, count: int) -> None:
    """Assert how many messages this server took over: by SMTP, or by APPEND in IMAP.

    Raises:
        ClientViolation: It took another number, or no client connected, whatever *count* is.
        ConfigError: *count* is negative, or the server takes no messages.
    """
    __tracebackhide__ = True
    if count < 0:
        raise ConfigError(f"count={count} cannot be: it is 0 or more")
    found = len(_taken(server, "assert_message_count", (Protocol.SMTP, Protocol.IMAP)))
    expected = f"The server takes over {_messages(count)}."
    if not server.sessions:
        fail(server, "assert_message_count", expected, "no client connected")
    if found != count:
        fail(server, "assert_message_count", expected, f"it took over {_messages(found)}")


def _taken(server: MailServer, name: str, protocols: tuple[Protocol, ...]) -> tuple[e.Stored, ...]:
    if server.protocol not in protocols:
        fitting, found = (" or ".join(one.value.upper() for one in some) for some in (protocols, (server.protocol,)))
        raise ConfigError(f"{name} needs a server for {fitting}, not for {found}")
    return tuple(message for session in server.sessions for message in session.stored)


def _address(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _listed(addresses: Counter[str]) -> str:
    return ", ".join(f"{one} ({n} times)" if n > 1 else one for one, n in sorted(addresses.items()))


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"
