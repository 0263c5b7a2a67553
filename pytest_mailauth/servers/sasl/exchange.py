"""What every SASL mechanism shares: the exchange as a generator, what it may ask, and what comes out of it.

An exchange yields challenges, is sent responses, and returns an attempt (RFC 4422 section 3). It never sees
base64, continuation markers or the protocol around it, and it decides nothing: it asks its server.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from pytest_mailauth.model.events import Authentication, Deviated, Fact, Malformed

if TYPE_CHECKING:
    from typing import Self

    from pytest_mailauth.model.canary import Account, Secret
    from pytest_mailauth.model.deviations import Deviation
    from pytest_mailauth.model.terms import Refusal

_D = TypeVar("_D", bound="Deviation")


class SaslError(Exception):
    """The client's response breaks the mechanism's syntax."""


class Kind(StrEnum):
    """What stands behind a claim to be somebody."""

    PASSWORD = "password"
    TOKEN = "token"
    PROOF = "proof"
    """An answer that shows knowledge of the password and does not reveal it."""
    CERTIFICATE = "certificate"
    NOTHING = "nothing"
    """ANONYMOUS (RFC 4505)."""


class Claim(NamedTuple):
    """What a client presented: authentication identity, secret, authorization identity (RFC 4422 section 2).

    *secret* is what crossed the wire, empty where the mechanism reveals nothing. *proved* is the mechanism's own
    verdict, for claims of kind PROOF and CERTIFICATE.
    """

    identity: str
    secret: Secret
    authorization: str = ""
    kind: Kind = Kind.PASSWORD
    proved: bool = False


class Decision(NamedTuple):
    """What the server makes of a claim: an account, or the reason of the refusal.

    *status* is the error code for a refused bearer token (RFC 6750 section 3.1), empty for the usual one.
    """

    account: Account | None
    refusal: Refusal | None = None
    status: str = ""


class TokenHelp(NamedTuple):
    """What a client whose bearer token is refused is told in an error challenge (RFC 7628 section 3.2.2).

    *scope* is what the token has to be good for, *discovery_url* where to learn who issues one, empty for nowhere.
    Unless *challenged* nothing is told, and the refusal comes at once.
    """

    scope: str
    discovery_url: str = ""
    challenged: bool = True


class Attempt(NamedTuple):
    """A finished exchange: what was claimed, and what became of it.

    *told* is True when an error challenge has stated it before. *flaw* is what was wrong with the client's messages
    beside the proof, *deviated* what the server did wrong on purpose at the end; empty for nothing.
    """

    claim: Claim
    decision: Decision
    told: bool = False
    flaw: str = ""
    deviated: str = ""


class ErrorChallenge(bytes):
    """A challenge that tells the client that *claim* is refused (RFC 7628 section 3.2.2).

    The attempt is over here for everybody who watches: many a client leaves instead of answering.
    """

    claim: Claim

    def __new__(cls, challenge: bytes, claim: Claim) -> Self:
        """Return *challenge* with the claim that it is about."""
        self = super().__new__(cls, challenge)
        self.claim = claim
        return self


class OddChallenge(bytes):
    """A challenge that is wrong on purpose; *kind* is what the record calls that.

    *is_line* says that it is sent as it stands, and not in base64.
    """

    kind: str
    is_line: bool

    def __new__(cls, challenge: bytes, kind: str, *, is_line: bool = False) -> Self:
        """Return *challenge* with what is wrong with it."""
        self = super().__new__(cls, challenge)
        self.kind = kind
        self.is_line = is_line
        return self


class Peer(Protocol):
    """The other end of a TLS connection, as far as mechanisms care."""

    def channel_bindings(self) -> Mapping[str, bytes]:
        """Return channel binding data by type (RFC 5929), as far as this connection has them."""

    def identities(self) -> tuple[str, ...]:
        """Return the names in the client's verified certificate; empty without one."""


class Server(Protocol):
    """What a mechanism may ask of the server it runs in."""

    @property
    def host(self) -> str:
        """The server's name, for challenges."""

    @property
    def channel_bindings(self) -> Mapping[str, bytes]:
        """Channel binding data by type (RFC 5929), as far as this connection has them."""

    @property
    def peer_identities(self) -> tuple[str, ...]:
        """The names in the client's certificate; empty without one."""

    @property
    def token_help(self) -> TokenHelp:
        """What a client is told whose bearer token is refused."""

    @property
    def somebody(self) -> Account | None:
        """An account that may be let in without a proof, where that is wanted; None where there is none."""

    def deviation(self, kind: type[_D]) -> _D | None:
        """Return how this server deviates from what it should do, by the kind of deviation, or None."""

    def accepts(self, mechanism: str) -> bool:
        """Return whether *mechanism* is accepted inside TLS."""

    def nonce(self) -> str:
        """Return an unguessable printable string without commas."""

    def password_of(self, identity: str) -> Secret | None:
        """Return the password of an account, or None when there is no such account."""

    def decide(self, claim: Claim) -> Decision:
        """Judge a claim."""


Exchange = Generator[bytes, bytes, Attempt]


def text(data: bytes) -> str:
    """Return a name or password as text; bytes that are not UTF-8 survive the way back."""
    return data.decode("utf-8", "surrogateescape")


def decode_initial(word: bytes) -> bytes:
    """Return the bytes behind an initial response; ``=`` stands for an empty one (RFC 4954 section 4, RFC 4959).

    Raises:
        SaslError: It is not base64.
    """
    return b"" if word == b"=" else decode_response(word)


def decode_response(line: bytes) -> bytes:
    """Return the bytes behind a base64 *line*, which is empty for an empty response.

    Raises:
        SaslError: The line is not base64.
    """
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise SaslError("the response is not base64") from error


def encode_challenge(challenge: bytes) -> bytes:
    """Return *challenge* as the base64 line that follows the protocol's continuation marker."""
    if isinstance(challenge, OddChallenge) and challenge.is_line:
        return bytes(challenge)
    return base64.b64encode(challenge)


def presented(mechanism: str, claim: Claim, *, accepted: bool) -> Authentication:
    """Return the fact that a claim was made."""
    return Authentication(mechanism, claim.identity, claim.secret, accepted, claim.authorization)


def noted(mechanism: str, step: bytes | Attempt) -> list[Fact]:
    """Return what is to be noted of a challenge, or of the end of an exchange, before it is answered."""
    if isinstance(step, ErrorChallenge):
        return [presented(mechanism, step.claim, accepted=False)]
    if isinstance(step, OddChallenge):
        return [Deviated(step.kind, mechanism, bytes(step))]
    if isinstance(step, bytes):
        return []
    accepted = step.decision.account is not None
    return [
        *([] if step.told else [presented(mechanism, step.claim, accepted=accepted)]),
        *([Malformed(step.flaw)] if step.flaw else []),
        *([Deviated(step.deviated, mechanism, b"")] if step.deviated else []),
    ]
