"""What a client asked of a web server for its configuration, and whether it gave a secret away in asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_mailauth.model.terms import Certificate

FOUND: Final = 200
"""The status of an answer that holds what was asked for (RFC 9110 section 15.3.1)."""


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """One request, or a connection on which none was made.

    Attributes:
        scheme: ``"https"`` or ``"http"``.
        host: The name of the server that was asked.
        certificate: What it showed; without a meaning for http.
        method: ``"GET"``; None when the client left without a request, as one does that refuses the certificate.
        path: What was asked for, with the query; hidden when there is a secret in it.
        headers: The header fields, in order; the values of those that hold a secret, or are made to, are hidden.
        carried: Each secret of the trial's account that was in the request, by its name, and where it was:
            ``(("password", "Authorization"),)``.
        status: The HTTP status of the answer; 0 when there was none.
        at: When it came, in seconds on the monotonic clock.
    """

    scheme: str
    host: str
    certificate: Certificate = Certificate.VALID
    method: str | None = "GET"
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    carried: tuple[tuple[str, str], ...] = ()
    status: int = 0
    at: float = 0.0

    def __str__(self) -> str:
        """Return a line for people: ``"GET https://example.test/ (200)"``."""
        return f"{self.scheme}://{self.host}, without a request" if self.method is None else self._asked()

    def _asked(self) -> str:
        held = "".join(f", with the {name} in {where}" for name, where in self.carried)
        return f"{self.method} {self.url} ({self.status}{held})"

    @property
    def url(self) -> str:
        """Where it went."""
        return f"{self.scheme}://{self.host}{self.path}"

    @property
    def is_vouched_for(self) -> bool:
        """True when a certificate shows that the answer comes from the host that was asked."""
        return self.scheme == "https" and self.certificate is Certificate.VALID
