"""Class U: servers as a mail transfer agent meets them, and what binds it to TLS there. One row is of class R.

Without a policy an MTA delivers in clear and over any certificate, and that is right (RFC 3207 sections 4 and 4.1,
RFC 7435).
"""

from __future__ import annotations

from typing import Any, Final

from pytest_mailauth.judge.scenarios.connections import UNKNOWN
from pytest_mailauth.judge.scenarios.scenario import Scenario
from pytest_mailauth.judge.scenarios.starttls import stripped
from pytest_mailauth.model.relay import KEYWORDS, REQUIRETLS, RelayPolicy
from pytest_mailauth.model.terms import Certificate, Protocol, Security

_HONOURED: Final = ("mta-policy-honoured",)
_STRIPPED: Final = stripped(UNKNOWN[Protocol.SMTP])
_STS: Final = {"mta_policy": "mta-sts"}
_DANE: Final = {"mta_policy": "dane"}
_REQUIRETLS: Final = {"mta_policy": "requiretls"}


def _policy(mode: str, mx: str) -> dict[str, str]:
    """A policy file (RFC 8461 section 3.2); ``{host}`` is the host that the client delivers to."""
    return {"sts_policy": f"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n"}


_ENFORCED: Final = _policy("enforce", "{host}")


def _row(
    name: str,
    summary: str,
    *,
    severity: str = "high",
    sources: tuple[str, ...],
    honours: dict[str, str] | None = None,
    **more: Any,
) -> Scenario:
    told: dict[str, Any] = {"family": "U", "rules": _HONOURED} | more
    return Scenario(
        name=name,
        summary=summary,
        severity=severity,
        sources=sources,
        protocols=(Protocol.SMTP,),
        modes=(Security.STARTTLS,),
        auth="none",
        needs={"role": "mta", **(honours or {})},
        profile="core",
        **told,
    )


ROWS: Final = (
    _row(
        "mta-opportunistic-strip",
        "STARTTLS is not offered, and no policy asks for it.",
        severity="info",
        sources=("RFC 3207 section 4",),
        deviations=_STRIPPED,
    ),
    _row(
        "mta-opportunistic-untrusted-cert",
        "The certificate is self-signed, and no policy asks for another.",
        severity="info",
        sources=("RFC 3207 section 4.1",),
        settings={"certificate": "self-signed"},
    ),
    _row(
        "mta-sts-enforce-kept",
        "The domain has a policy of mode enforce, and the server is as it says.",
        rules=("control",),
        severity="info",
        sources=("RFC 8461 section 5",),
        honours=_STS,
        tells=_ENFORCED,
        variant_of="mta-sts-enforce-bad-cert",
    ),
    _row(
        "mta-sts-enforce-strip",
        "The domain has a policy of mode enforce, and STARTTLS is not offered.",
        sources=("RFC 8461 section 5",),
        honours=_STS,
        tells=_ENFORCED,
        deviations=_STRIPPED,
        compared_with="mta-sts-enforce-kept",
    ),
    _row(
        "mta-sts-enforce-bad-cert",
        "The domain has a policy of mode enforce, and the certificate is for another host.",
        sources=("RFC 8461 section 4.2", "RFC 8461 section 5"),
        honours=_STS,
        tells=_ENFORCED,
        settings={"certificate": "wrong-host"},
        compared_with="mta-sts-enforce-kept",
    ),
    _row(
        "mta-sts-enforce-bad-cert-self-signed",
        "The domain has a policy of mode enforce, and the certificate is self-signed.",
        sources=("RFC 8461 section 4.2", "RFC 8461 section 5"),
        honours=_STS,
        tells=_ENFORCED,
        settings={"certificate": "self-signed"},
        compared_with="mta-sts-enforce-kept",
        variant_of="mta-sts-enforce-bad-cert",
    ),
    _row(
        "mta-sts-mx-not-listed",
        "The domain has a policy of mode enforce, which does not list the host. The server is honest.",
        sources=("RFC 8461 section 4.1", "RFC 8461 section 5"),
        honours=_STS,
        # The host ends in a listed name, and is not it. The catalogue has another server for this: the client is told
        # the host that it delivers to, so this one is the stranger.
        tells=_policy("enforce", "mx.{host}"),
        compared_with="mta-sts-enforce-kept",
    ),
    _row(
        # Reports (RFC 8460) go by mail or HTTPS to an address in the DNS, which nobody looks at here.
        "mta-sts-testing-mode",
        "The domain has a policy of mode testing, and the certificate is for another host.",
        severity="info",
        sources=("RFC 8461 section 5",),
        honours=_STS,
        tells=_policy("testing", "{host}"),
        settings={"certificate": "wrong-host"},
    ),
    _row(
        "dane-match",
        "The host has a TLSA record that matches its certificate, which is self-signed.",
        rules=("control",),
        severity="info",
        sources=("RFC 7672 section 3.1",),
        honours=_DANE,
        tells={"tlsa": Certificate.SELF_SIGNED},
        settings={"certificate": "self-signed"},
        variant_of="dane-mismatch",
    ),
    _row(
        "dane-mandatory-strip",
        "The host has a TLSA record, and STARTTLS is not offered.",
        sources=("RFC 7672 section 2.2",),
        honours=_DANE,
        tells={"tlsa": Certificate.VALID},
        deviations=_STRIPPED,
        compared_with="dane-match",
    ),
    _row(
        "dane-mismatch",
        "The host has a TLSA record that does not match its certificate, which is valid otherwise.",
        sources=("RFC 7672 section 2.2", "RFC 7672 section 3.1"),
        honours=_DANE,
        tells={"tlsa": Certificate.SELF_SIGNED},
        compared_with="dane-match",
    ),
    _row(
        "requiretls-offered",
        "The message is marked REQUIRETLS, and the server takes such ones.",
        rules=("control",),
        severity="info",
        sources=("RFC 8689 section 4.2.1",),
        honours=_REQUIRETLS,
        tells={"requires_tls": True},
        settings={"relay": RelayPolicy(keywords=(*KEYWORDS, REQUIRETLS))},
        variant_of="requiretls-not-offered",
    ),
    _row(
        "requiretls-not-offered",
        "The message is marked REQUIRETLS, and the server does not take such ones.",
        severity="medium",
        sources=("RFC 8689 section 4.2.1",),
        honours=_REQUIRETLS,
        tells={"requires_tls": True},
        compared_with="requiretls-offered",
    ),
    _row(
        "local-recipient-without-auth",
        "Of two recipients the first is local; the other one is elsewhere, and refused with 550 5.7.1.",
        family="R",
        rules=("no-open-relay-reliance",),
        severity="info",
        sources=("S3",),
        settings={"relay": RelayPolicy(relay="local")},
        tells={"recipients": ("bob@example.test", "bob@elsewhere.test")},
    ),
)
