"""Signed tokens (RFC 7519): a key made for one run, and its public half as a key set (RFC 7517).

The only room that imports joserfc, and only when a signed token is asked for: opaque tokens need no package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_mailauth.model.errors import CannotServe, ConfigError

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

Algorithm = Literal["ES256", "RS256"]
ALGORITHMS: Final = ("ES256", "RS256")
INSTALL: Final = 'install the extra: pip install "pytest-mailauth[oauth]"'


class SigningKey:
    """A private key that signs tokens. It lives in memory only and never shows itself.

    Args:
        algorithm: ``"ES256"`` (P-256, made in a millisecond) or ``"RS256"`` (2048 bits, tens of milliseconds).

    Raises:
        ConfigError: The algorithm is unknown.
        CannotServe: joserfc is not installed.
    """

    def __init__(self, algorithm: Algorithm = "ES256") -> None:
        if algorithm not in ALGORITHMS:
            raise ConfigError(f"algorithm={algorithm!r} is not known; use one of {', '.join(map(repr, ALGORITHMS))}")
        try:
            from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415 - belongs to an extra
        except ImportError:
            raise CannotServe(f"signed tokens need joserfc; {INSTALL}") from None
        parameters: Any = {"use": "sig", "alg": algorithm}
        self.algorithm = algorithm
        self._key: ECKey | RSAKey = (
            ECKey.generate_key("P-256", parameters, auto_kid=True)
            if algorithm == "ES256"
            else RSAKey.generate_key(2048, parameters, auto_kid=True)
        )

    def __repr__(self) -> str:
        return f"<SigningKey {self.algorithm} {self._key.kid}>"

    def sign(self, claims: dict[str, Any], kind: str) -> str:
        """Return *claims* signed; *kind* is the header ``typ``, such as ``"at+jwt"`` (RFC 9068 section 2.1)."""
        from joserfc import jwt  # noqa: PLC0415 - belongs to an extra

        header = {"typ": kind, "alg": self.algorithm, "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=[self.algorithm])

    @property
    def public(self) -> dict[str, Any]:
        """The key set that verifies what was signed, as published (RFC 7517 section 5)."""
        return {"keys": [self._key.as_dict(private=False)]}
