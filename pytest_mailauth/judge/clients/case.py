"""What a client is given for one trial: everything it needs to connect, log in and do one thing."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pytest_mailauth.model.terms import URL_SCHEMES, Protocol, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.canary import Secret

PRINTED: Final = "printed a secret"


@dataclass(frozen=True, kw_only=True)
class Case:
    """The settings of one trial, as a user would type them into a mail client.

    Attributes:
        protocol: ``smtp``, ``pop3`` or ``imap``.
        security: ``implicit``, ``starttls`` or ``none``. TLS is required for the first two.
        host: Name to connect to and to verify the certificate against.
        port: TCP port.
        username: Login name.
        password: Password.
        token: Bearer token, for a client that logs in with OAuth 2.0.
        cafile: Path of the PEM file with the only certificate authority to trust.
        sender: Envelope sender for SMTP.
        recipient: Envelope recipient for SMTP.
        timeout: Seconds after which the client must give up waiting for anything.
        verify: Whether to check the server's certificate: ``"full"``, or ``"none"`` in some earlier transfers.
        other_port: Another port of the same account, with another mode, or None. Read :attr:`fallback_port`.
        supply: Opens a connection for the client, or None. Read :attr:`connection`.
        before: A transfer to make first, on other terms, or None. Read :attr:`earlier`.
    """

    protocol: Protocol
    security: Security
    host: str
    port: int
    username: str
    password: Secret
    token: Secret
    cafile: str
    sender: str = "alice@example.test"
    recipient: str = "bob@example.test"
    timeout: float = 2.0
    verify: str = "full"
    other_port: int | None = field(default=None, repr=False)
    supply: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    before: Case | None = field(default=None, repr=False)
    facts: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fallback_port(self) -> int | None:
        """Another port of the same account, without TLS from the start; only some scenarios have one.

        Reading it tells the judge that the client knows of the port: only then can not using it be obedience.
        """
        self.facts["asked for the other port"] = True
        return self.other_port

    @property
    def asked_for_fallback(self) -> bool:
        """True once :attr:`fallback_port` was read."""
        return "asked for the other port" in self.facts

    @property
    def connection(self) -> Any:
        """A connected socket on which to begin, as a proxy or a pool would hand one over; only some scenarios have one.

        Reading it tells the judge that the client can be given one. It is another one each time, and the reader's own.
        """
        self.facts["asked for a connection"] = True
        return self.supply() if self.supply is not None else None

    @property
    def asked_for_connection(self) -> bool:
        """True once :attr:`connection` was read."""
        return "asked for a connection" in self.facts

    @property
    def earlier(self) -> Case | None:
        """A transfer to make before this one, with the same client object; only some scenarios have one.

        It goes to the same server on other terms: in clear, without certificate checks, or for another account. Reading
        it tells the judge that the client makes both, and so could use a connection again that it must not.
        """
        self.facts["asked for the earlier transfer"] = True
        return self.before

    @property
    def asked_for_earlier(self) -> bool:
        """True once :attr:`earlier` was read."""
        return "asked for the earlier transfer" in self.facts

    @property
    def url(self) -> str:
        """The server as a URL, without credentials: ``smtps://localhost:40465``."""
        return f"{URL_SCHEMES[self.protocol, self.security]}://{quote(self.host)}:{self.port}"

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context that verifies chain and host name against :attr:`cafile` alone.

        It verifies nothing where :attr:`verify` is ``"none"``.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.verify == "none":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.load_verify_locations(self.cafile)
        return context

    def report(self, **facts: Any) -> None:
        """State what the wire cannot show, for example ``case.report(folders=["INBOX"])``."""
        self.facts.update(facts)

    def note_disclosure(self) -> None:
        """State that a program printed a secret of this case, before what it printed was cut and redacted."""
        self.facts[PRINTED] = True
