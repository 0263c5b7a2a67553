"""Devices without a browser: codes that wait until a user says yes on another one (RFC 8628). Pure.

How long a device has to wait between two polls is measured on the issuer's clock, which tests advance.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.servers.oauth_errors import OAuthError

if TYPE_CHECKING:
    from pytest_mailauth.model.canary import Account
    from pytest_mailauth.servers.oauth import TokenIssuer

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
"""RFC 8628 section 3.4."""
DEVICE_LIFETIME: Final = 1800
"""Seconds for which the codes count."""
SLOWER: Final = 5
"""Seconds that ``slow_down`` adds to the interval (RFC 8628 section 3.5)."""
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no code is a word (RFC 8628 section 6.1)."""


@dataclass(slots=True)
class Device:
    """One device that waits for its user.

    Attributes:
        scope: What it asked for.
        audience: Whom its token shall be for.
        interval: Seconds between two polls.
        expires_at: When its codes stop counting.
        user: Who said yes, None for whoever is signed in.
        answer: None while the user has not answered, then whether the answer was yes.
        polled_at: When it polled last.
        done: True once it was given its token.
    """

    scope: str | None
    audience: str | None
    interval: float
    expires_at: float
    user: str | Account | None = None
    answer: bool | None = None
    polled_at: float | None = None
    done: bool = False


class Devices:
    """All devices that wait or waited."""

    def __init__(self, issuer: TokenIssuer, interval: float) -> None:
        self._issuer = issuer
        self._interval = interval
        self._by_device_code: dict[str, Device] = {}
        self._by_user_code: dict[str, Device] = {}

    def begin(self, scope: str | None, audience: str | None) -> dict[str, Any]:
        """Return a new device's codes. Where its user has to go is added by who knows URLs."""
        device = Device(scope, audience, self._interval, self._issuer.now + DEVICE_LIFETIME)
        device_code = secrets.token_urlsafe(24)
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        self._by_device_code[device_code] = device
        self._by_user_code[letters] = device
        return {
            "device_code": device_code,
            "user_code": f"{letters[:4]}-{letters[4:]}",
            "expires_in": DEVICE_LIFETIME,
            "interval": self._interval,
        }

    def answer(self, user_code: str, *, yes: bool, user: str | Account | None = None) -> None:
        """Answer for the user. Case and punctuation of the code do not matter (RFC 8628 section 6.1).

        Raises:
            ConfigError: No device was given this code.
        """
        device = self._by_user_code.get("".join(filter(str.isalpha, user_code)).upper())
        if device is None:
            raise ConfigError("no device was given this user code")
        device.answer, device.user = yes, user

    def poll(self, device_code: str) -> Device:
        """Return the device once its user said yes.

        Raises:
            OAuthError: The user has not, or said no, or the device polls too often (RFC 8628 section 3.5).
        """
        device = self._by_device_code.get(device_code)
        if device is None or device.done:
            raise OAuthError("invalid_grant", "the device code is unknown or used up")
        now = self._issuer.now
        before, device.polled_at = device.polled_at, now
        if now >= device.expires_at:
            raise OAuthError("expired_token")
        if device.answer is False:
            raise OAuthError("access_denied")
        if device.answer is None:
            if before is not None and now < before + device.interval:
                device.interval += SLOWER
                raise OAuthError("slow_down")
            raise OAuthError("authorization_pending")
        device.done = True
        return device
