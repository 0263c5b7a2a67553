"""The attempts of a client to log in, in order: with which mechanism, on which layer, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_mailauth.model.exchanges import exchanges

if TYPE_CHECKING:
    from pytest_mailauth.model.events import Command
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.terms import Layer
    from pytest_mailauth.model.trial import Trial

LOGIN_COMMAND: Final = "LOGIN-COMMAND"
"""The LOGIN command of IMAP; ``LOGIN`` is the SASL mechanism."""
_OF_COMMAND: Final = {"LOGIN": LOGIN_COMMAND, "USER": "USER", "APOP": "APOP"}
_PROOFS: Final = 2
_STRENGTH: Final = {
    **dict.fromkeys(("PLAIN", "LOGIN", LOGIN_COMMAND, "USER"), 1),
    **dict.fromkeys(("CRAM-MD5", "DIGEST-MD5", "NTLM", "APOP"), _PROOFS),
}
"""What a mechanism gives away: 1 the password itself, 2 something that it can be guessed from."""
_VERIFIES: Final = 3
"""The strength of the SCRAM family, in which the server has to prove that it knows the password (RFC 5802)."""


class Try(NamedTuple):
    """One attempt to log in; *reply* is what ended it, empty where nothing did."""

    session: SessionRecord
    layer: Layer
    mechanism: str
    command: Command
    reply: str
    is_refused: bool

    @property
    def strength(self) -> int:
        """How little the mechanism gives away; 0 where that cannot be compared."""
        return strength(self.mechanism)

    @property
    def is_too_weak(self) -> bool:
        """True when the server said that it wants a stronger mechanism (RFC 4954 section 6)."""
        return self.is_refused and self.reply.startswith("534")


def strength(mechanism: str) -> int:
    """Return how little *mechanism* gives away: more is better, and 0 cannot be compared."""
    return _VERIFIES if mechanism.startswith("SCRAM-") else _STRENGTH.get(mechanism, 0)


def tries(trial: Trial) -> list[Try]:
    """Return the attempts to log in. USER and PASS are one, which ends with the reply to PASS if it came so far."""
    found: list[Try] = []
    for session in trial.sessions:
        for exchange in exchanges(session):
            command = exchange.command
            mechanism = _mechanism(command)
            if mechanism:
                found.append(Try(session, exchange.layer, mechanism, command, exchange.reply, exchange.is_refused))
            elif command.verb == "PASS" and found and found[-1].mechanism == "USER":
                refused = exchange.is_refused or (found[-1].is_refused and not exchange.reply)
                found[-1] = found[-1]._replace(reply=exchange.reply, is_refused=refused)
    return found


def _mechanism(command: Command) -> str:
    """Return the mechanism that a command begins, or nothing."""
    if command.verb in ("AUTH", "AUTHENTICATE"):
        return command.argument.partition(b" ")[0].decode("ascii", "replace").upper()
    return _OF_COMMAND.get(command.verb, "")
