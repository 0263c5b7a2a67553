"""Settings of one server that contradict each other, though each makes sense alone.

What is wrong with one setting is told where the setting is made. Each message names the field, and what would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Certificate, ClientCertificate, Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.model.config import ServerConfig


def check_together(config: ServerConfig) -> None:
    """Check that the settings of *config* can all have an effect.

    Raises:
        ConfigError: Two of them cannot.
    """
    _check_tls(config)
    _check_mechanisms(config)
    if config.auth.preauthenticated and config.protocol is not Protocol.IMAP:
        raise ConfigError("preauthenticated=True exists in IMAP only (RFC 9051 section 7.1.4)")


def _check_tls(config: ServerConfig) -> None:
    if config.security is Security.NONE and config.tls.client_certificate is not ClientCertificate.NONE:
        raise ConfigError("client_certificate needs TLS, but security is 'none'")
    if config.security is Security.NONE and config.certificate is not Certificate.VALID:
        raise ConfigError(f"certificate={str(config.certificate)!r} needs TLS, but security is 'none'")
    if config.security is Security.IMPLICIT and config.auth.before_tls:
        raise ConfigError(
            f"before_tls={config.auth.before_tls!r} is for a clear phase, and security='implicit' has none; leave it "
            "out, and name in AuthPolicy(mechanisms=...) what is taken inside TLS"
        )


def _check_mechanisms(config: ServerConfig) -> None:
    offered = (*config.auth.mechanisms, *config.auth.before_tls)
    if "APOP" in offered and config.protocol is not Protocol.POP3:
        raise ConfigError("APOP exists in POP3 only (RFC 1939 section 7)")
    if "APOP" in offered and not config.auth.advertised:
        raise ConfigError(
            "advertised=False takes the timestamp out of POP3's greeting, and there is no APOP without it (RFC 1939 "
            "section 7); leave one of the two out"
        )
    if "EXTERNAL" in offered and config.tls.client_certificate is ClientCertificate.NONE:
        raise ConfigError("EXTERNAL needs a client certificate: TLSPolicy(client_certificate='optional')")
    where = "before_tls" if config.security is Security.NONE else "mechanisms"
    if config.auth.accept_token is not None and not config.takes_tokens:
        raise ConfigError(
            "accept_token is asked about bearer tokens, and no mechanism takes one; add XOAUTH2 or OAUTHBEARER to "
            f"AuthPolicy({where}=...)"
        )
    if config.relay.login_first and not config.reachable_mechanisms and config.protocol is Protocol.SMTP:
        raise ConfigError(f"relay: login_first=True and no mechanism to log in with; give AuthPolicy({where}=...) some")
