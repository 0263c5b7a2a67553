"""Who may log in, how, and on which layer: mechanisms and auth policies that a server can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from pytest_mailauth.model.config import (
    PASSWORD_MECHANISMS,
    PROOF_MECHANISMS,
    TOKEN_MECHANISMS,
    AuthPolicy,
)
from pytest_mailauth.model.terms import Protocol, Refusal, Security
from pytest_mailauth.strategies.cases import mix, one

if TYPE_CHECKING:
    from collections.abc import Sequence

ANYWHERE: Final = (*PASSWORD_MECHANISMS, *PROOF_MECHANISMS, *TOKEN_MECHANISMS, "ANONYMOUS")
"""What every protocol has. APOP is of POP3 alone, and EXTERNAL needs a certificate of the client."""
BEFORE_TLS: Final = tuple(name for name in ANYWHERE if name != "SCRAM-SHA-256-PLUS")
"""What can be offered in clear: nothing binds to a TLS that is not there (RFC 5802 section 6)."""


def _some(names: Sequence[str], least: int = 1) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one(names), min_size=least, max_size=5, unique=True).map(tuple)


def mechanism_lists(
    protocol: Protocol | str | None = None, *, external: bool = False
) -> st.SearchStrategy[tuple[str, ...]]:
    """Return tuples of SASL mechanisms that a server can offer, each once, in any order.

    Args:
        protocol: The protocol; only ``"pop3"`` has APOP. None (default) for what all three have.
        external: Whether EXTERNAL is among them, which needs a TLS policy that asks for a certificate. Default False.

    Distribution:
        4/12 default: PLAIN and LOGIN.
        2/12 proof: CRAM-MD5 and SCRAM, which do not send the password.
        2/12 token: XOAUTH2, OAUTHBEARER or both.
        1/12 one: a single mechanism.
        2/12 several: one to five.
        1/12 none: no mechanism at all.

    Shrinks to: ``("PLAIN", "LOGIN")``.
    """
    known = (
        *ANYWHERE,
        *(("APOP",) if protocol is not None and Protocol(protocol) is Protocol.POP3 else ()),
        *(("EXTERNAL",) if external else ()),
    )
    return mix(
        "mechanism_lists",
        (4, "default", st.just(PASSWORD_MECHANISMS)),
        (2, "proof", _some(PROOF_MECHANISMS)),
        (2, "token", _some(TOKEN_MECHANISMS)),
        (1, "one", st.tuples(one(known))),
        (2, "several", _some(known)),
        (1, "none", st.just(())),
    )


def auth_policies(
    protocol: Protocol | str | None = None, security: Security | str = Security.STARTTLS, *, sound: bool | None = None
) -> st.SearchStrategy[AuthPolicy]:
    """Return auth policies, each of which a server with this protocol and security can have.

    Args:
        protocol: The protocol; None (default) for policies that fit all three. Over IMAP sessions may be
            preauthenticated, over POP3 there may be APOP.
        security: The security; ``"starttls"`` by default. With ``"implicit"`` there is no clear phase.
        sound: True leaves out policies that keep a usual client with the right password out, or take the password in
            clear. False draws those alone. None (default) draws both.

    Distribution:
        4/12 default: PLAIN and LOGIN, inside TLS only.
        2/12 mechanisms: other mechanisms, see :func:`mechanism_lists`; with *sound* beside PLAIN.
        1/12 limits: few wrong passwords lock the account, or attempts are counted.
        1/12 hidden: mechanisms are taken and not announced, or passwords by AUTH alone.
        1/12 token required: OAuth 2.0 is required; passwords are refused (S15, S16).
        1/12 in clear: credentials are taken before TLS, too.
        1/12 refuses: every login is refused, in each way that there is.
        1/12 odd: a mechanism is announced and then too weak, a mail address is no login name; IMAP: PREAUTH.

    Shrinks to: ``AuthPolicy()``.
    """
    kind = None if protocol is None else Protocol(protocol)
    has_clear = Security(security) is not Security.IMPLICIT
    lists = mechanism_lists(kind)
    good, bad = sound is not False, sound is not True
    if sound:
        lists = lists.map(lambda names: ("PLAIN", *(name for name in names if name != "PLAIN")))
    odd = [AuthPolicy(too_weak=("PLAIN",)), AuthPolicy(address_logs_in=False)]
    odd += [AuthPolicy(preauthenticated=True)] if kind is Protocol.IMAP else []
    return mix(
        "auth_policies",
        (4 * good, "default", st.just(AuthPolicy())),
        (2 * good, "mechanisms", st.builds(AuthPolicy, mechanisms=lists)),
        (good, "limits", one((AuthPolicy(lockout=3), AuthPolicy(lockout=1), AuthPolicy(rate_limit=(5, 60.0))))),
        (bad, "hidden", one((AuthPolicy(advertised=False), AuthPolicy(password_commands="never")))),
        (bad, "token required", one((AuthPolicy().for_tokens(), AuthPolicy(less_secure_apps=False)))),
        (has_clear and bad, "in clear", policies_in_clear()),
        (bad, "refuses", st.builds(AuthPolicy, reject=one(Refusal))),
        (bad, "odd", one(odd)),
    )


def policies_in_clear() -> st.SearchStrategy[AuthPolicy]:
    """Return policies that take credentials in clear."""
    return st.builds(
        AuthPolicy,
        before_tls=st.one_of(st.just(PASSWORD_MECHANISMS), _some(BEFORE_TLS)),
        password_commands=one(("always", "tls")),
    )
