"""Causes inside the TLS handshake: the certificate, the version, the cipher suite, and who ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.causes.cause import Cause
from pytest_mailauth.model.causes.connection import tls_at_once
from pytest_mailauth.model.hello import VERSIONS, in_words
from pytest_mailauth.model.portstates import port_fact
from pytest_mailauth.model.terms import (
    ALMOST_FOR_THE_HOST,
    FOR_ANOTHER_HOST,
    NO_COMMON_SUITE,
    NO_COMMON_VERSION,
    SOUND,
    Certificate,
    HandshakeOutcome,
    Layer,
    PortState,
    Security,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pytest_mailauth.model.causes.cause import Seen

_REFUSING: Final = frozenset(
    {
        "bad_certificate",
        "unsupported_certificate",
        "certificate_revoked",
        "certificate_unknown",
    }
)
"""Alerts by which a certificate is refused, beside those with rows of their own (RFC 8446 section 6.2)."""
_VERSION_ALERTS: Final = frozenset({"protocol_version", "inappropriate_fallback"})
_CUT: Final = tuple(map(port_fact, (PortState.HANDSHAKE_RESET, PortState.HANDSHAKE_CLOSE)))
"""Reasons of a handshake that something on the way breaks off."""
_NAMING_OTHERS: Final = (FOR_ANOTHER_HOST | ALMOST_FOR_THE_HOST) - {Certificate.NO_SAN}
"""Certificates in which the host is not named, or not so that it counts. (A common name counts for some.)"""
_OLD: Final = VERSIONS[: VERSIONS.index("1.2")]
_SUITE_ALERTS: Final = frozenset({"handshake_failure", "insufficient_security"})


def _broken_off(seen: Seen) -> str | None:
    session = seen.session
    if any(one.reason in _CUT for one in session.of(e.HandshakeEnded)):
        return f"the connection ended after the ClientHello ({session.closed.how if session.closed else 'reset'})"
    ended, closed = session.of(e.HandshakeEnded), session.closed
    if tls_at_once(seen) or not session.of(e.HelloSeen) or ended or closed is None or closed.by != "server":
        return None
    return f"the connection ended after the ClientHello ({closed.how})"


def _tls(seen: Seen) -> tuple[HandshakeOutcome | None, str | None, str | None]:
    facts = seen.session.tls
    if facts is None or tls_at_once(seen):
        return None, None, None
    return facts.outcome, facts.alert, facts.reason


def _alert(*names: str) -> Callable[[Seen], str | None]:
    """Return what looks for one of these alerts from the client."""
    return lambda seen: _told(seen, names)


def _told(seen: Seen, names: Collection[str]) -> str | None:
    outcome, alert, _ = _tls(seen)
    if outcome is not HandshakeOutcome.CLIENT_ALERT or alert is None or alert not in names:
        return None
    return f"the client ended the handshake with the alert {alert}{_shown(seen)}"


def _shown(seen: Seen) -> str:
    certificate = seen.certificate
    known = certificate is not None and certificate not in SOUND
    return f"; the certificate of this server is {certificate}" if known else ""


def _wrong_name(seen: Seen) -> str | None:
    if seen.certificate not in _NAMING_OTHERS:
        return None
    outcome, alert, _ = _tls(seen)
    left = outcome is HandshakeOutcome.CLIENT_LEFT_AFTER
    return _told(seen, _REFUSING) or (
        f"the client left after the handshake{_shown(seen)}" if left and not alert else None
    )


def _other_refusal(seen: Seen) -> str | None:
    return None if _wrong_name(seen) else _told(seen, _REFUSING)


def _version(seen: Seen) -> str | None:
    _, _, reason = _tls(seen)
    return NO_COMMON_VERSION if reason == NO_COMMON_VERSION else _told(seen, _VERSION_ALERTS)


def _suite(seen: Seen) -> str | None:
    _, _, reason = _tls(seen)
    return NO_COMMON_SUITE if reason == NO_COMMON_SUITE else _told(seen, _SUITE_ALERTS)


def _refused_by_server(seen: Seen) -> str | None:
    outcome, _, reason = _tls(seen)
    known = reason in (NO_COMMON_VERSION, NO_COMMON_SUITE, *_CUT)
    return (
        seen.quoted(reason or "no reason is known")
        if outcome is HandshakeOutcome.SERVER_REFUSED and not known
        else None
    )


def _no_tls_came(seen: Seen) -> str | None:
    outcome, _, _ = _tls(seen)
    fits = outcome is HandshakeOutcome.NOT_TLS and seen.session.security is Security.STARTTLS
    return "what came after the reply to STARTTLS was no TLS" if fits else None


_EXPLAINED: Final = frozenset({"unknown_ca", "certificate_expired"}) | _REFUSING | _VERSION_ALERTS | _SUITE_ALERTS


def _went_on(seen: Seen) -> str | None:
    """Return what a client said inside TLS that began with a certificate it had to refuse."""
    said = seen.session.of(e.Command, Layer.TLS)
    if seen.certificate in (None, *SOUND) or not said:
        return None
    logged_in = [one for one in seen.session.of(e.Authentication, Layer.TLS) if one.secret]
    what = f"gave its password with {logged_in[0].mechanism}" if logged_in else f"said {seen.quoted(said[0].line)}"
    return f"the certificate of this server is {seen.certificate}, and the client {what}"


def _old_version(seen: Seen) -> str | None:
    facts = seen.session.tls
    if facts is None or not seen.session.over_tls or facts.version not in _OLD:
        return None
    return f"it was {in_words(facts.version)}"


def _left_during(seen: Seen) -> str | None:
    outcome, alert, _ = _tls(seen)
    if outcome is HandshakeOutcome.CLIENT_ALERT and alert not in _EXPLAINED:
        return f"it sent the alert {alert}"
    if outcome is not HandshakeOutcome.CLIENT_LEFT_DURING or _broken_off(seen):
        return None
    return f"it left without an alert{_shown(seen)}"


def _left_after(seen: Seen) -> str | None:
    outcome, _, _ = _tls(seen)
    if outcome is not HandshakeOutcome.CLIENT_LEFT_AFTER or _wrong_name(seen):
        return None
    return f"it sent nothing inside TLS{_shown(seen)}"


HANDSHAKE: Final = (
    Cause(
        "certificate-not-verified",
        "The client went on with a server whose certificate it has to refuse",
        "Let the client verify the certificate chain and the host name before it says anything.",
        ("S9", "RFC 8314 section 5.3", "RFC 7817 section 3"),
        _went_on,
    ),
    Cause(
        "old-tls",
        "The connection was secured with a TLS version that most servers refuse",
        "Set the minimum of the client to TLS 1.2.",
        ("S2", "S5", "S12", "RFC 8996 section 5"),
        _old_version,
    ),
    Cause(
        "handshake-broken-off",
        "The connection was broken off in the middle of the TLS handshake, and not by the client",
        "Something on the way may refuse TLS: ask your provider, and do not go on without TLS.",
        ("S11", "RFC 8314 section 5.2"),
        _broken_off,
    ),
    Cause(
        "certificate-untrusted",
        "The client does not trust the issuer of the server's certificate",
        "Give the client the certificate authority of the server (here: its cafile), and leave verification on.",
        ("RFC 8314 section 5.3", "RFC 8446 section 6.2"),
        _alert("unknown_ca"),
    ),
    Cause(
        "certificate-expired",
        "The client refused the server's certificate because it has expired",
        "The server needs a new certificate; also look at the clock of the client.",
        ("RFC 8314 section 5.3", "RFC 8446 section 6.2"),
        _alert("certificate_expired"),
    ),
    Cause(
        "certificate-for-another-name",
        "The client refused the server's certificate, which is for another name",
        "Verify that the client uses the right domain name of the service.",
        ("S4", "RFC 8314 section 5.3", "RFC 7817 section 3"),
        _wrong_name,
    ),
    Cause(
        "certificate-refused",
        "The client refused the server's certificate",
        "See in the client's own error what it did not accept.",
        ("RFC 8314 section 5.3", "RFC 8446 section 6.2"),
        _other_refusal,
    ),
    Cause(
        "tls-version",
        "Client and server have no TLS version in common",
        "Let both use TLS 1.2 or newer; older versions are refused.",
        ("S2", "S5", "S12", "RFC 8996 section 5"),
        _version,
    ),
    Cause(
        "cipher-suite",
        "Client and server have no cipher suite in common, or nothing else strong enough",
        "Let the client offer the cipher suites of TLS 1.2 and 1.3; weak ones are refused.",
        ("S2", "RFC 8446 section 6.2"),
        _suite,
    ),
    Cause(
        "handshake-refused",
        "The server refused the TLS handshake",
        "Look at what the client offered, and at the settings of the server.",
        ("S2",),
        _refused_by_server,
    ),
    Cause(
        "no-tls-after-starttls",
        "The client asked for STARTTLS and did not begin the handshake",
        "Begin the TLS handshake as soon as the server has said yes.",
        ("S10", "RFC 3207 section 4"),
        _no_tls_came,
    ),
    Cause(
        "left-during-handshake",
        "The client ended the TLS handshake before it was finished",
        "See in the client's own error what it did not accept.",
        (),
        _left_during,
    ),
    Cause(
        "left-after-handshake",
        "The TLS handshake finished, and the client left without a word, as one does that refuses what it was shown",
        "See in the client's own error what it did not accept: certificate, name or version.",
        ("RFC 8314 section 5.3",),
        _left_after,
    ),
)
"""Most telling first."""
