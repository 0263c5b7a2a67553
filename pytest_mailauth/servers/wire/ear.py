"""What a client says that nobody answers: to a server that has given up on it, or TLS where text belongs.

It crosses the wire all the same, so it is stated like everything else. Nothing that is heard here has an effect.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pytest_mailauth.model import events as e
from pytest_mailauth.model.sieve import Sieve
from pytest_mailauth.servers.wire.hello import HelloParser
from pytest_mailauth.servers.wire.tls import cleartext_alert

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.servers.engines.contract import Engine

_HANDSHAKE = b"\x16"


class Ear:
    """Listens on one connection.

    Args:
        note: Writes down a fact.
        engine: Makes a machine of the protocol that understands commands, and answers to nobody.
    """

    def __init__(self, note: Callable[[e.Fact], None], engine: Callable[[], Engine]) -> None:
        self._note = note
        self._make_engine = engine
        self._engine: Engine | None = None

    # Made when they are wanted: few clients ever say what nobody answers.

    @cached_property
    def _sieve(self) -> Sieve:
        return Sieve()

    @cached_property
    def _hello(self) -> HelloParser:
        return HelloParser()

    def hear(self, data: bytes) -> None:
        """State what is in these bytes, which were noted before."""
        text, records = self._sieve.feed(data)
        if records:
            self.see(records)
        if text:
            self._understand(text)

    def see(self, records: bytes) -> bool:
        """State the ClientHello or the alert in TLS records. Return False while a ClientHello is not complete."""
        alert = cleartext_alert(records)
        if alert is not None:
            self._note(e.AlertReceived(alert))
        elif self._hello.hello is None:
            if self._hello.done:
                self._hello = HelloParser()  # another record came first; this may be a hello all the same
            self._hello.feed(records)
            if self._hello.hello is not None:
                self._note(e.HelloSeen(self._hello.hello))
        return self._hello.done or not records.startswith(_HANDSHAKE)

    def _understand(self, text: bytes) -> None:
        if self._engine is None:
            self._engine = self._make_engine()
            self._engine.greet()
        for output in self._engine.receive(text):
            if isinstance(output, e.Response | e.Authentication) or (isinstance(output, e.Command) and output.verb):
                self._note(output)
