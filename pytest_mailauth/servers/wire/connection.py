"""One connection of any protocol and mode: the bytes of a socket on one side, an engine on the other.

The asyncio transport underneath never changes; TLS is put in place between it and the engine, so that every
byte is recorded with the layer it came in on, and the ClientHello is read before OpenSSL sees it.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model import events as e
from pytest_mailauth.model.sieve import Sieve
from pytest_mailauth.model.terms import HandshakeOutcome, Layer, Security
from pytest_mailauth.servers.behind import End, Moment
from pytest_mailauth.servers.engines.contract import Close, Reset, Send, StartTLS
from pytest_mailauth.servers.wire.ear import Ear
from pytest_mailauth.servers.wire.fate import Fate
from pytest_mailauth.servers.wire.hello import RECORD_BEHIND_A_LINE, WholeHello
from pytest_mailauth.servers.wire.notes import Notes
from pytest_mailauth.servers.wire.opening import Opening
from pytest_mailauth.servers.wire.outlet import Outlet
from pytest_mailauth.servers.wire.pace import Pace
from pytest_mailauth.servers.wire.transport import SocketTransport
from pytest_mailauth.servers.wire.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mailauth.model.terms import PortState
    from pytest_mailauth.servers.engines.contract import Engine
    from pytest_mailauth.servers.policy import Policy
    from pytest_mailauth.servers.wire.channel import Channel, Terms
    from pytest_mailauth.servers.wire.turns import Doing

_HASTY: Final = "the ClientHello came in the same segment as STARTTLS, before its reply"


_DEEDS: Final = (StartTLS, Close, Reset)
# What the next bytes are. No enumeration: to look up its members for every piece that comes in is dear.
_CLEAR: Final = "text"
_HELLO: Final = "a ClientHello"
_TLS: Final = "TLS records"
_DEAF: Final = "what nobody answers"
"""It is recorded, since it may be a leak."""


class Connection(asyncio.Protocol):
    """One client.

    Args:
        engine: Called for the protocol machine; its argument is whether TLS is active from the start.
        eavesdropper: Called for a machine that understands what is said in clear to a server which answers no more.
            Nothing that it does has an effect.
        policy: The server's decisions, of which the wire carries out the ones about bytes and time.
        terms: The terms of TLS, or None for a server without it.
        on_end: Called once when the connection is over.
        state: The port state that the client meets.
    """

    def __init__(
        self,
        engine: Callable[[bool], Engine],
        eavesdropper: Callable[[], Engine],
        policy: Policy,
        terms: Terms | None,
        on_end: Callable[[Connection], None],
        *,
        state: PortState,
    ) -> None:
        self._notes = Notes()
        self.entries = self._notes.entries
        self._note = self._notes.add
        self._policy = policy
        self._implicit = policy.config.security is Security.IMPLICIT
        self._make_engine = engine
        self._engine: Engine | None = None
        self._sieve = Sieve()
        self._ear = Ear(self._note, eavesdropper)
        self._terms = terms
        self._on_end = on_end
        self._mode = _HELLO if self._implicit else _CLEAR
        if self._implicit:
            self._hello = WholeHello()
        self._out = Outlet(self._notes)
        self._fate = Fate(state, policy, self._note, self._out.send)
        self._end: e.Closed | None = None
        self._pace = Pace(policy, self._out.send, self._note, self._caught_up, self._guarded)
        self._is_steady = self._pace.is_steady
        self._turns = Turns(self._do, self._guarded)
        self._opening = Opening(policy, self._pace, self._note)
        self._farewell_is_owed = False

    # What the rest of the package asks.

    def abort(self) -> None:
        """Cut the connection off with a reset."""
        self._end = self._end or e.Closed("server", "abort")
        self._transport.reset()

    def overdue(self) -> None:
        """Note that the client outstayed its time limit, and cut it off."""
        if self._end is None:
            self._note(e.Overdue())
        self.abort()  # also one that is closing, and waits for a client that reads nothing

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Meet the client as the port state says."""
        assert isinstance(transport, SocketTransport)  # noqa: S101 - for the type checker
        self._transport = self._out.transport = transport
        peer = transport.get_extra_info("peername")
        self._note(e.Opened(f"{peer[0]}:{peer[1]}" if peer else "unknown"))
        self._guarded(self._meet)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the socket."""
        excess = self._notes.arrived(len(data))
        if excess is not None:
            self._note(e.Malformed(f"{excess}: the client is cut off"))
            self.abort()
            return
        try:
            self._take(data)
        except Exception:  # noqa: BLE001 - see _guarded
            self._fail()

    def pause_writing(self) -> None:
        """Hold the client's requests back until it has read the replies to those before."""
        self._turns.hold()

    def resume_writing(self) -> None:
        """Go on with the client's requests."""
        self._out.caught_up()
        if self._engine is not None:
            self._guarded(self._turns.release)

    def eof_received(self) -> None:
        """Take note that the client will send nothing more; the transport closes itself once it has written all."""
        self._end = self._end or e.Closed("client", "close")
        self._guarded(self._let_the_engine_go)

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end."""
        self._pace.stop()
        # Every other way of ending has been noted by now.
        self._end = self._end or e.Closed("client", "close" if exc is None else "reset")
        self._guarded(self._let_the_engine_go)
        if self._mode == _HELLO and (raw := self._hello.take()):
            # What began like a hello may still hold a secret: it is kept like everything that was said in clear.
            self._note(e.Received(raw))
            self._note(e.HandshakeEnded(HandshakeOutcome.CLIENT_LEFT_DURING, reason="the ClientHello is incomplete"))
        self._note(self._end)
        self._out.channel = None  # OpenSSL's share of a connection is large, and the record needs none of it
        self._on_end(self)

    # Inside.

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - whatever it is, it is our bug, and the test must hear of it
            self._fail()

    def _fail(self) -> None:
        self._note(e.Failed(traceback.format_exc()))
        self.abort()

    def _meet(self) -> None:
        self._engine = self._turns.engine = self._make_engine(self._implicit)
        if self._ends_at(Moment.CONNECTED):
            return
        if self._mode == _CLEAR:
            self._turns.perform(self._engine.greet())
        else:
            self._opening.preface()

    def _ends_at(self, moment: Moment) -> bool:
        """Do what the port state has in store, and return whether a client gets nothing else."""
        end = self._fate.at(moment)
        match end:
            case End.SILENCE:
                self._mode = _DEAF
            case End.RESET:
                self._do(Reset())
            case End.CLOSE:
                self._turn_away()
        return end is not None

    def _let_the_engine_go(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            self._turns.end(engine, left=self._end is not None and self._end.by == "client")

    def _take(self, data: bytes) -> None:
        self._out.was_used = False
        if self._mode == _TLS:
            self._take_records(data)
        elif self._mode == _HELLO:
            self._take_hello(data)
        else:
            self._note(e.Received(data))
            (self._take_clear if self._mode == _CLEAR else self._ear.hear)(data)
        if not self._out.was_used:
            self._transport.acknowledge()

    def _take_clear(self, data: bytes) -> None:
        if self._turns.are_waiting:  # whatever it is, it waits behind what came before
            self._turns.take(data)
            return
        sieve = self._sieve
        text, records = sieve.feed(data)
        if text:
            self._turns.take(text)
        if self._mode == _HELLO:
            records += sieve.rest()
            if records:
                self._refuse_hasty_hello(records)
        elif records and self._ear.see(records) and self._mode == _CLEAR:
            self._turn_away()  # a client that speaks TLS here waits for TLS, and would wait for ever

    def _refuse_hasty_hello(self, records: bytes) -> None:
        # It is dropped with everything else behind STARTTLS, as it must be: waiting for a second hello would leave
        # both sides waiting for ever.
        self._note(e.Malformed(_HASTY))
        self._ear.hear(records)
        self._note(e.HandshakeEnded(HandshakeOutcome.SERVER_REFUSED, reason=_HASTY))
        self._turn_away()

    def _take_hello(self, data: bytes) -> None:
        self._opening.hello_begins(self._transport)
        hello = self._hello
        hello.feed(data)
        if self._pace.owes or not hello.done:  # the reply to STARTTLS may still be on its slow way out
            return
        raw = hello.take()
        if hello.hello is None:
            self._note(e.Received(raw))
            self._note(e.HandshakeEnded(HandshakeOutcome.NOT_TLS, reason=hello.error))
            self._turn_away()
            self._ear.hear(raw)
        else:
            self._note(e.HelloSeen(hello.hello))
            if self._ends_at(Moment.HELLO):
                return
            if self._opening.stays_clear():
                self._mode = _CLEAR
                return
            assert self._terms is not None  # noqa: S101 - only servers with TLS wait for a ClientHello
            self._out.channel = self._terms.channel(hello.hello, **self._policy.of_tls)
            self._mode = _TLS
            self._take_records(raw)

    def _take_records(self, data: bytes) -> None:
        channel = self._out.channel
        assert channel is not None  # noqa: S101 - the mode says so
        before = channel.ended
        plain = channel.feed(data)
        if channel.outgoing.pending:
            self._out.flush()
        if channel.ended is not None and before is None:
            self._note(channel.ended)
            if not channel.established:
                rest = channel.unread()
                self._turn_away()
                if rest:
                    self._note(e.Received(rest))
                    self._ear.hear(rest)
                return
            self._notes.layer = Layer.TLS
            self._turns.engine.met(channel)
            if not self._implicit:
                self._opening.greet_again()
            self._turns.perform(self._turns.engine.greet() if self._implicit else self._turns.engine.tls_started())
        if plain:
            self._note(e.Received(plain))
            self._turns.take(plain)
        if channel.closed:
            self._end_tls(channel, data)

    def _end_tls(self, channel: Channel, data: bytes) -> None:
        """Answer the end of TLS, and go on listening: what a client says after it, it says in clear."""
        if channel.alert is not None:
            self._note(channel.alert)
            self._end = self._end or e.Closed("client", "alert")
        elif channel.error is not None:
            # Nobody knows what is in a record that cannot be read: it counts as said in clear.
            self._note(e.Malformed(f"a broken TLS record: {channel.error}"))
            self._end = self._end or e.Closed("server", "close")
        clear = data if channel.error is not None else channel.unread()
        if self._mode == _DEAF:
            return
        if not channel.broken:
            self._out.end_tls()
        self._notes.layer = Layer.CLEAR
        self._turn_away()
        if clear:
            self._note(e.Received(clear))
            self._ear.hear(clear)

    def _do(self, output: Doing) -> None:
        if isinstance(output, Send):
            if self._is_steady:
                self._out.send(output.data)
            else:
                self._pace.answer(output.data, over_tls=self._notes.layer is Layer.TLS)
        elif isinstance(output, _DEEDS):
            self._act(output)
        else:
            self._note(output)

    def _act(self, output: StartTLS | Close | Reset) -> None:
        match output:
            case StartTLS():
                self._start_tls(output)
            case Close(abruptly):
                self._end = self._end or e.Closed("server", "close")
                self._out.says_goodbye = not abruptly
                self._close()
            case Reset():
                self._end = self._end or e.Closed("server", "reset")
                self._transport.reset()

    def _caught_up(self) -> None:
        if self._farewell_is_owed:
            self._close()
        elif self._mode == _HELLO:
            self._take_hello(b"")

    def _start_tls(self, start: StartTLS) -> None:
        self._opening.agree(start)
        self._mode = _HELLO
        self._hello = WholeHello()
        self._sieve = Sieve()
        early = b"\n" + self._turns.unread()  # what came while the reply waited came behind STARTTLS: it is dropped
        if RECORD_BEHIND_A_LINE in early:
            self._refuse_hasty_hello(early[early.index(RECORD_BEHIND_A_LINE) + 1 :])

    def _turn_away(self) -> None:
        """Give up on the client's TLS, but keep listening: what a client says after a failed handshake counts."""
        self._mode = _DEAF
        self._out.channel = None
        self._pace.stop()
        self._transport.write_eof()

    def _close(self) -> None:
        if self._pace.owes and self._out.is_open:
            self._farewell_is_owed = True
            return
        self._out.end_tls()
        if self._mode == _CLEAR and self._end == e.Closed("server", "close"):
            self._turn_away()  # what a client says after the goodbye crosses the wire, too
            return
        self._mode = _DEAF
        self._transport.close()
