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
"""Where the configuration of an OpenID provider is (OpenID Connect Discovery 1.0 section 4)."""
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
"""RFC 8414 section 3."""


class Addresses:
    """The addresses of an authorization server. Whoever serves it knows the beginning, :attr:`url`."""

    @property
    def url(self) -> str:
        """The issuer's URL, under which all endpoints are."""
        raise NotImplementedError

    @property
    def token_url(self) -> str:
        """The token endpoint (RFC 6749 section 3.2)."""
        return self.url + ENDPOINTS["token_endpoint"]

    @property
    def authorize_url(self) -> str:
        """The authorization endpoint (RFC 6749 section 3.1)."""
        return self.url + ENDPOINTS["authorization_endpoint"]

    @property
    def device_url(self) -> str:
        """The device authorization endpoint (RFC 8628 section 3.1)."""
        return self.url + ENDPOINTS["device_authorization_endpoint"]

    @property
    def revoke_url(self) -> str:
        """The revocation endpoint (RFC 7009 section 2)."""
        return self.url + ENDPOINTS["revocation_endpoint"]

    @property
    def introspect_url(self) -> str:
        """The introspection endpoint (RFC 7662 section 2)."""
        return self.url + ENDPOINTS["introspection_endpoint"]

    @property
    def userinfo_url(self) -> str:
        """Who a token's user is (OpenID Connect Core section 5.3)."""
        return self.url + ENDPOINTS["userinfo_endpoint"]

    @property
    def jwks_url(self) -> str:
        """The key set that verifies signed tokens (RFC 7517 section 5)."""
        return self.url + ENDPOINTS["jwks_uri"]

    @property
    def discovery_url(self) -> str:
        """The document that names all others (OpenID Connect Discovery section 4; RFC 8414 has one of its own path)."""
        return self.url + DISCOVERY_PATH
