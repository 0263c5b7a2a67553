"""Where the endpoints of the authorization server are, below its URL. Needs no package, so that anybody can ask."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = "127.0.0.1"
"""The host in the URLs, and on the certificate of https: a number, so that nobody tries ::1 first."""
ENDPOINTS: Final[dict[str, str]] = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "device_authorization_endpoint": "/device_authorization",
    "revocation_endpoint": "/revoke",
    "introspection_endpoint": "/introspect",
    "userinfo_endpoint": "/userinfo",
    "jwks_uri": "/jwks",
}
"""Name in the metadata (RFC 8414 section 2, RFC 8628 section 4) to path."""

DEVICE_PAGE: Final = "/device"
"""Where users say yes to a device."""
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
"""OpenID Connect Discovery section 4."""
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
"""RFC 8414 section 3."""
