"""What a client is given for one trial: everything it needs to connect, log in and do one thing."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload
from urllib.parse import quote

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.reports import SENDER
from pytest_mailauth.model.terms import URL_SCHEMES, Protocol, Security

if TYPE_CHECKING:
    from typing import Self

    from pytest_mailauth.model.canary import Secret

_T = TypeVar("_T")

Enter = Callable[[Sequence[str]], list[str]]
"""Returns the command that runs a program where the names and ports of its trial are."""

PRINTED: Final = "printed with a secret"
"""Where the output of a program is kept that holds a secret: as it was, for the judge alone."""

UNTOLD: Final = {
    "security": "a client that is declared mode='from-port' is not told the mode; derive it from case.port",
    "port": "a client that is declared port='chosen' is not told the port; choose one by case.protocol",
    "host": "a client that is declared to discover its server is not told a host; find it from case.domain",
}
"""What may be kept back from a client that was declared to find it out, each with what to say to one that asks."""


class _Told(Generic[_T]):
    """A field that may be kept back: None in its place raises when it is read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, case: None, owner: type) -> Self: ...
    @overload
    def __get__(self, case: object, owner: type) -> _T: ...
    def __get__(self, case: object | None, owner: type) -> _T | Self:
        if case is None:
            raise AttributeError(self._name)  # so that dataclasses see a field without a default
        value: _T | None = vars(case)[self._name]
        if value is None:
            raise ConfigError(f"case.{self._name}: {UNTOLD[self._name]}")
        return value

    def __set__(self, case: object, value: _T | None) -> None:
        vars(case)[self._name] = value


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Case:
    """The settings of one trial, as a user would type them into a mail client. A case equals only itself.

    Attributes:
        protocol: ``smtp``, ``pop3`` or ``imap``.
        security: ``implicit``, ``starttls`` or ``none``. TLS is required for the first two. Not for a client that is
            declared ``mode="from-port"``: reading it raises ConfigError.
        host: Name to connect to and to verify the certificate against. Not for a client that discovers its server.
        port: TCP port. Not for a client that is declared ``port="chosen"``.
        username: Login name.
        password: Password.
        token: Bearer token, for a client that logs in with OAuth 2.0.
        cafile: Path of the PEM file with the only certificate authority to trust.
        sender: Envelope sender for SMTP.
        recipient: Envelope recipient for SMTP.
        timeout: Seconds after which the client must give up waiting for anything.
        verify: Whether to check the server's certificate: ``"full"``, or ``"none"`` in some earlier transfers.
        other_port: Another port of the same account, with another mode, or None. Read :attr:`fallback_port`.
        discovers: How the client is declared to find its server: ``"no"``, ``"srv"``, ``"guess"``, ``"autoconfig"``.
        domain: The mail domain of the account, for a client that discovers its server; else None.
        nameserver: Address and port of the DNS server that knows the names of the trial; None when there is none.
        supply: Opens a connection for the client, or None. Read :attr:`connection`.
        before: A transfer to make first, on other terms, or None. Read :attr:`earlier`.
        enter: The way for a program to the names and ports of the trial; None when it needs none.
        work: What some scenarios set of the work to do. Read :attr:`recipients`, :attr:`message`, :attr:`local_name`,
            :attr:`mailbox`, :attr:`message_number`, :attr:`draft`, :attr:`subject`, :attr:`fresh_token`,
            :attr:`pinned`, :attr:`by_default`, :attr:`sts_policy`, :attr:`tlsa`, :attr:`requires_tls`.
        heard: What of it the client has read.
        wants: What the scenario asks the client to :meth:`report`, keys of
            :data:`~pytest_mailauth.model.reports.REPORTS`; empty in most. What is reported besides does no harm.
    """

    protocol: Protocol
    security: _Told[Security] = _Told()
    host: _Told[str] = _Told()
    port: _Told[int] = _Told()
    username: str
    password: Secret
    token: Secret
    cafile: str
    sender: str = SENDER
    recipient: str = "bob@example.test"
    timeout: float = 2.0
    verify: str = "full"
    other_port: int | None = None
    discovers: str = "no"
    domain: str | None = None
    nameserver: tuple[str, int] | None = None
    supply: Callable[[], Any] | None = None
    before: Case | None = None
    enter: Enter | None = None
    work: Mapping[str, Any] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)
    wants: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!s}" for name, value in vars(self).items() if name in UNTOLD and value)
        return f"<Case {self.protocol} {told}>"

    @property
    def untold(self) -> tuple[str, ...]:
        """What this client has to find out by itself: ``"security"``, ``"port"``, ``"host"``."""
        return tuple(name for name in UNTOLD if vars(self)[name] is None)

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

        It goes to the same server on other terms: in clear, without certificate checks, or for another account. Or the
        terms are the same, and what the records of the domain say is not. Reading it tells the judge that the client
        makes both, and so could use again what it must not, or ask again what it has to keep.
        """
        self.facts["asked for the earlier transfer"] = True
        return self.before

    @property
    def asked_for_earlier(self) -> bool:
        """True once :attr:`earlier` was read."""
        return "asked for the earlier transfer" in self.facts

    def _told(self, name: str) -> Any:
        """Return what the scenario sets, or None. Reading tells the judge that the client is one that heeds it."""
        self.heard.add(name)
        return self.work.get(name)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Envelope recipients for SMTP: :attr:`recipient` alone, or several in some scenarios."""
        told: tuple[str, ...] | None = self._told("recipients")
        return told or (self.recipient,)

    @property
    def message(self) -> bytes | None:
        """The message to send, header and body as a caller would pass them in; None to send one of your own."""
        told: bytes | None = self._told("message")
        return told

    @property
    def local_name(self) -> str | None:
        """The name to say in EHLO; None to say what you always say."""
        told: str | None = self._told("local_name")
        return told

    @property
    def mailbox(self) -> str:
        """The IMAP mailbox to select: ``"INBOX"``, or another name in some scenarios."""
        told: str | None = self._told("mailbox")
        return told or "INBOX"

    @property
    def message_number(self) -> str:
        """The POP3 message to retrieve, as a caller would pass it in: ``"1"``, or another text in some scenarios."""
        told: str | None = self._told("message_number")
        return told or "1"

    @property
    def draft(self) -> bytes | None:
        """A message to append to the IMAP mailbox ``Drafts``; None in most scenarios."""
        told: bytes | None = self._told("draft")
        return told

    @property
    def client_certificates(self) -> Mapping[str, str]:
        """The client certificates of this user, by the account that each is for: paths of PEM files with the key.

        There are some in some scenarios alone, and not always one for :attr:`username`.
        """
        told: Mapping[str, str] | None = self._told("client_certificates")
        return told or {}

    @property
    def subject(self) -> str | None:
        """The subject of the message, as a caller would pass it in; None to write one of your own."""
        told: str | None = self._told("subject")
        return told

    @property
    def fresh_token(self) -> Secret | None:
        """Another bearer token, as a refresh would give; None where there is none. Read it when yours is refused."""
        told: Secret | None = self._told("fresh_token")
        return told

    @property
    def pinned(self) -> str | None:
        """The certificate that the user has accepted for this account although it does not verify; None in most.

        It is the SHA-256 fingerprint of the certificate in DER, in hexadecimal. Whatever else the server shows has to
        verify as ever (RFC 8314 section 5.4).
        """
        told: str | None = self._told("pinned")
        return told

    @property
    def by_default(self) -> bool:
        """Whether to leave every TLS setting to the library, the authority in :attr:`cafile` included.

        True in the scenario about the library's own default. A client that is always called so reads it, too.
        """
        return bool(self._told("by_default"))

    @property
    def sts_policy(self) -> str | None:
        """The MTA-STS policy of the recipient's domain, as its policy host gives it out (RFC 8461 section 3.2).

        None where the domain has none. It is for a mail transfer agent; :attr:`host` is the MX host it delivers to.
        """
        told: str | None = self._told("sts_policy")
        return told

    @property
    def tlsa(self) -> tuple[str, ...]:
        """The TLSA records of :attr:`host`, each as text: ``"3 0 1 <hexadecimal>"`` (RFC 6698 section 2.2).

        They are usable, and were got securely, by declaration; () where there are none. It is for an MTA.
        """
        told: tuple[str, ...] | None = self._told("tlsa")
        return told or ()

    @property
    def requires_tls(self) -> bool:
        """Whether the message to send is marked REQUIRETLS (RFC 8689); False in most cases. It is for an MTA."""
        return bool(self._told("requires_tls"))

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

    def note_disclosure(self, printed: bytes) -> None:
        """State that a program printed a secret of this case, before what it printed was cut and redacted."""
        self.facts[PRINTED] = printed.decode("utf-8", "replace")
