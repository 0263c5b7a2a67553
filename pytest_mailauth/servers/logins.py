"""Who is let in: the decision about a claim, with what a server remembers of earlier ones.

No socket and no clock of its own; time is asked for only where a rate limit needs it.
"""

from __future__ import annotations

import hmac
import secrets
import traceback
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.config import choose
from pytest_mailauth.model.deviations import Refuse
from pytest_mailauth.model.terms import Refusal
from pytest_mailauth.servers.sasl import Claim, Decision, Kind, TokenHelp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_mailauth.model.config import AuthPolicy
    from pytest_mailauth.model.deviations import Deviation
    from pytest_mailauth.servers.sasl import Peer

    _D = TypeVar("_D", bound=Deviation)

_WRONG: Final = (Refusal.INVALID, Refusal.BAD_TOKEN)
"""Refusals that count towards a lock-out: something that was presented was wrong."""

NOBODY: Final = Account(username="anonymous", password=Secret(""), address="anonymous@localhost", token=Secret(""))
"""Whom an ANONYMOUS login is: an account with an empty mailbox."""
SCOPE: Final = "https://mail.example.test/"
"""The scope that a bearer token needs where neither the settings nor an issuer name one."""


class Logins:
    """The logins of one server.

    Args:
        auth: Its authentication policy.
        accounts: Who may log in.
        clock: Tells seconds.
        errors: Where it is added what failed in functions that were given as settings.
    """

    def __init__(
        self, auth: AuthPolicy, accounts: Sequence[Account], clock: Callable[[], float], errors: list[str]
    ) -> None:
        self._auth = auth
        self._accounts = accounts
        self._clock = clock
        self._failures: Counter[str] = Counter()
        self._attempts: deque[float] = deque()
        self._errors = errors

    def account_of(self, identity: str) -> Account | None:
        """Return the account with this login name, or mail address where that logs in too, or None."""
        by_address = self._auth.address_logs_in
        return next(
            (a for a in self._accounts if identity == a.username or (by_address and identity == a.address)), None
        )

    @property
    def somebody(self) -> Account | None:
        """The first account; None where there is none."""
        return next(iter(self._accounts), None)

    def accepts(self, mechanism: str) -> bool:
        """Return whether *mechanism* is accepted inside TLS."""
        return mechanism in self._auth.mechanisms

    @property
    def token_help(self) -> TokenHelp:
        """What a client is told whose bearer token is refused: as the settings say, else as the issuer says."""
        told = [getattr(self._auth.accept_token, name, None) for name in ("scope", "discovery_url")]
        scope, discovery_url = (value if isinstance(value, str) else "" for value in told)
        return TokenHelp(self._auth.token_scope or scope or SCOPE, discovery_url, self._auth.error_challenge)

    def decide(self, claim: Claim, mechanism: str = "") -> Decision:
        """Judge a claim. The first reason against it counts."""
        if self._auth.reject is not None:
            return Decision(None, choose(Refusal, self._auth.reject, "reject"))
        if self._too_many():
            return Decision(None, Refusal.RATE_LIMITED)
        # Only OAUTHBEARER may leave the name to the token (RFC 7628 section 3.1).
        owner = self._owner(claim) if mechanism == "OAUTHBEARER" and not claim.identity else None
        account = owner[0] if owner else self.account_of(claim.identity)
        name = account.username if account else claim.identity
        limit = self._auth.lockout
        if limit is not None and self._failures[name] >= limit:
            return Decision(None, Refusal.LOCKED)
        status = owner[1] if owner else self._token_status(claim, account)
        refusal = self._against(claim, account, mechanism, good_token=status is None)
        if refusal is None:
            self._failures.pop(name, None)
            return Decision(NOBODY if claim.kind is Kind.NOTHING else account)
        # What is refused for another reason was no guess, and nothing is kept that nobody asks for.
        if limit is not None and refusal in _WRONG and not _only_asks(claim):
            self._failures[name] += 1
        return Decision(None, refusal, status or "")

    def _owner(self, claim: Claim) -> tuple[Account | None, str | None]:
        """Return whose a bearer token is, and its status. All accounts are tried: nobody else knows."""
        found: tuple[Account | None, str | None] = (None, "")
        for account in self._accounts:
            status = self._token_status(claim, account)
            if status is None:
                return account, None
            if status not in ("", "invalid_token"):
                found = account, status  # something is wrong with it, but not the account
        return found

    def _token_status(self, claim: Claim, account: Account | None) -> str | None:
        """Return None for a good bearer token or for none at all, else its error code, empty for the usual one."""
        if claim.kind is not Kind.TOKEN:
            return None
        if account is None or _only_asks(claim):
            return ""
        if self._auth.accept_token is None:
            return None if _same(claim.secret, account.token) else ""
        told = self._ask("accept_token", self._auth.accept_token, claim.secret, account)
        if told is not None and not isinstance(told, bool | str):
            self._errors.append(f"accept_token returned {told!r}; return True, False or an error code")
            told = False
        return None if told is True else (told or "")

    def _ask(self, setting: str, function: Callable[..., Any], *arguments: object) -> Any:
        """Return what a user's function says. When it fails it says nothing, and the test hears of it."""
        try:
            return function(*arguments)
        except Exception:  # noqa: BLE001 - the function is the user's, and so is its mistake
            self._errors.append(f"{setting} failed:\n{traceback.format_exc()}")
            return False

    def _too_many(self) -> bool:
        if self._auth.rate_limit is None:
            return False
        most, seconds = self._auth.rate_limit
        now = self._clock()
        while self._attempts and self._attempts[0] <= now - seconds:
            self._attempts.popleft()
        self._attempts.append(now)
        return len(self._attempts) > most

    def _against(self, claim: Claim, account: Account | None, mechanism: str, *, good_token: bool) -> Refusal | None:
        if mechanism in self._auth.too_weak:
            return Refusal.TOO_WEAK
        told = self._ask("decide", self._auth.decide, claim) if self._auth.decide is not None else None
        if told is not None and not isinstance(told, bool) and told not in tuple(Refusal):
            names = ", ".join(repr(one.value) for one in Refusal)
            self._errors.append(f"decide returned {told!r}; return True, False, None or one of {names}")
            told = False
        if isinstance(told, str):
            return Refusal(told)
        wrong = Refusal.BAD_TOKEN if claim.kind is Kind.TOKEN else Refusal.INVALID
        if (claim.kind is not Kind.NOTHING and account is None) or _only_asks(claim):
            return wrong
        right = told if told is not None else good_token and self._is_right(claim, account)
        if not right:
            return wrong
        if claim.kind in (Kind.PASSWORD, Kind.PROOF) and not self._auth.less_secure_apps:
            return Refusal.OAUTH_REQUIRED
        return None

    @staticmethod
    def _is_right(claim: Claim, account: Account | None) -> bool:
        """Return whether everything but a bearer token is right."""
        if account is None:
            return claim.proved
        # Nobody acts for somebody else here: the authorization identity is empty or the account's own.
        if claim.authorization not in ("", account.username, account.address):
            return False
        if claim.kind in (Kind.PROOF, Kind.CERTIFICATE):
            return claim.proved
        return claim.kind is Kind.TOKEN or _same(claim.secret, account.password)


def _only_asks(claim: Claim) -> bool:
    """Return whether a client gave no token, to be told what it would need (RFC 7628 section 4.3)."""
    return claim.kind is Kind.TOKEN and not claim.secret


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


class Desk:
    """Where the client of one connection logs in: what a SASL mechanism may ask of its server."""

    def __init__(
        self, host: str, logins: Logins, peer: Peer | None, mechanism: str, deviations: Mapping[type, Sequence[Any]]
    ) -> None:
        self.host = host
        self._deviations = deviations
        self._logins = logins
        self._peer = peer
        self._mechanism = mechanism

    @property
    def channel_bindings(self) -> Mapping[str, bytes]:
        """Channel binding data of this connection, by type."""
        return self._peer.channel_bindings() if self._peer is not None else {}

    @property
    def peer_identities(self) -> tuple[str, ...]:
        """The names in the client's certificate."""
        return self._peer.identities() if self._peer is not None else ()

    @property
    def token_help(self) -> TokenHelp:
        """What a client is told whose bearer token is refused."""
        return self._logins.token_help

    @property
    def somebody(self) -> Account | None:
        """An account that may be let in without a proof, where that is wanted."""
        return self._logins.somebody

    def deviation(self, kind: type[_D]) -> _D | None:
        """Return how this server deviates from what it should do, by the kind of deviation, or None."""
        return next(iter(self._deviations.get(kind, ())), None)

    def accepts(self, mechanism: str) -> bool:
        """Return whether *mechanism* is accepted inside TLS."""
        return self._logins.accepts(mechanism)

    def nonce(self) -> str:
        """Return a fresh unguessable string."""
        return secrets.token_hex(12)

    def password_of(self, identity: str) -> Secret | None:
        """Return the password of an account, or None."""
        account = self._logins.account_of(identity)
        return account.password if account is not None else None

    def decide(self, claim: Claim) -> Decision:
        """Judge a claim."""
        refused = self.deviation(Refuse)
        if refused is not None and self._mechanism in refused.mechanisms:
            return Decision(None, Refusal.INVALID)
        return self._logins.decide(claim, self._mechanism)
