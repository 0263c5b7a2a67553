"""Whose fault it is, said by the type.

Four things go wrong in different ways and never share a class: the user's settings, the client under test,
this host, and this package.
"""

from __future__ import annotations


class MailAuthError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(MailAuthError, ValueError):
    """The settings make no sense. The user's mistake; the message says what would be accepted."""


class UnknownSetting(ConfigError, TypeError):
    """There is no setting of this name. A TypeError too, as Python's own answer to an unknown keyword is."""


class ClientViolation(AssertionError):
    """The client under test broke a rule. Raised by the assertions, with the evidence in its text."""


class UnmetExpectations(AssertionError):
    """What ``server.on(...)`` waited for did not come. Raised when the test ends, with what came instead."""


class CannotServe(MailAuthError):
    """This host cannot serve what was asked (for example TLS 1.0 on a hardened OpenSSL). Nobody's fault."""


class CannotServeHere(CannotServe):
    """This system does not have what was asked, and others do: a test that needs it is skipped with the reason."""


class ServerFault(MailAuthError):
    """A fake server failed inside. Our bug: it always fails the test and never blames the client."""


class MessageNotArrived(AssertionError):
    """No message that a test waited for arrived in time. The message says what did, and what the clients said."""


class ClientUnusable(MailAuthError):
    """The client could not be run, or did not log in to the honest server, so nothing can be judged."""


_PUBLIC = (
    ClientUnusable,
    ClientViolation,
    CannotServe,
    ConfigError,
    MailAuthError,
    MessageNotArrived,
    ServerFault,
    UnmetExpectations,
)
for _public in _PUBLIC:
    # The name that a user imports, and that a traceback shows.
    _public.__module__ = "pytest_mailauth"
