"""Paths and parameters of MAIL and RCPT: aiosmtpd's grammar, with what only the service extensions on offer allow.

A part of the SMTP engine's session, in front of aiosmtpd. Whose mail is taken is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.relay import REQUIRETLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.sasl import Peer

_DOT_ATOM: Final = r"[\w+=-]+(?:\.[\w+=-]+)*"
# A comment may follow an address, and is aiosmtpd's to read.
_PLAIN_PATH: Final = re.compile(rf"<({_DOT_ATOM}@{_DOT_ATOM})>(?![ \t]*\()[ \t]*", re.ASCII)
"""A path as nearly all clients write it (RFC 5321 section 4.1.2)."""
_PARAMETERS: Final = {"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8"}
"""The parameters of MAIL, and the EHLO keywords of the service extensions that they belong to."""
_PARAMETER: Final = re.compile(r"(?P<name>[A-Z0-9][A-Z0-9-]*)(?:=(?P<value>[!-<>-~]+))?")
"""A parameter in upper case (RFC 5321 section 4.1.2, esmtp-param)."""
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
"""The value of MAIL's parameter AUTH in upper case: an address, or ``<>`` (RFC 4954 section 8)."""
ASCII_ONLY: Final = {
    "MAIL": "550 5.6.7 A sender beyond ASCII needs the parameter SMTPUTF8",
    "RCPT": "553 5.6.7 A recipient beyond ASCII needs MAIL's parameter SMTPUTF8",
}
"""The refusal of an address beyond ASCII in a transaction that did not ask for such ones (RFC 6531 section 3.5)."""


class Paths:
    """What a session that has these attributes reads behind MAIL and RCPT; the methods have aiosmtpd's names."""

    policy: Policy
    over_tls: bool
    verb: str
    envelope: Any
    peer: Peer | None

    def offers(self, keyword: str) -> bool:
        """Return whether the service extension of an EHLO keyword is offered; only those that can be switched are."""
        return keyword in self.policy.config.relay.keywords

    def may_name(self, address: str) -> bool:
        """Return whether an address may stand in this transaction: beyond ASCII only where MAIL asked for that."""
        return address.isascii() or bool(self.envelope.smtp_utf8)

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """aiosmtpd's, with a shorter way: its own makes a class and two parse trees for every address."""
        plain = _PLAIN_PATH.match(arg)
        if plain is not None:
            return plain[1], arg[plain.end() :]
        try:
            parsed: tuple[str | None, str | None] = super()._getaddr(arg)  # type: ignore[misc] # aiosmtpd's
        except (AttributeError, IndexError):  # the standard library's parser trips over some broken addresses
            return None, None
        return parsed

    def _getparams(self, params: Sequence[str]) -> dict[str, str | bool] | None:
        """Return parameters, their names in upper case, or None for what breaks their syntax; the name is aiosmtpd's.

        Its own takes any digit for a number, and a name with a hyphen for a mistake.
        """
        matches = [_PARAMETER.fullmatch(param) for param in params]
        parsed: dict[str, str | bool] = {}
        for match in matches:
            if match is None:
                return None
            parsed[match["name"]] = match["value"] or True
        # No client is trusted to name a submitter: its word is read and dropped (RFC 4954 section 5).
        announced = self.policy.announced_mechanisms(self.peer, over_tls=self.over_tls)
        if self.verb == "MAIL" and "AUTH" in parsed and announced:
            named = parsed.pop("AUTH")
            if not isinstance(named, str) or not _XTEXT.fullmatch(named):
                return None
        if self.verb == "MAIL" and self.over_tls and self.offers(REQUIRETLS) and parsed.get(REQUIRETLS) is True:
            del parsed[REQUIRETLS]  # it binds whoever passes the message on, which nobody here does
        # What is not offered is not known: aiosmtpd knows upper case only, and answers 555 to the rest (RFC 5321
        # section 4.1.1.11).
        return {
            name if self.offers(_PARAMETERS.get(name, "")) else name.lower(): value for name, value in parsed.items()
        }
