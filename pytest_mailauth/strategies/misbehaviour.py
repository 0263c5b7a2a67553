"""Servers that misbehave: faults told by a script or a seed, and single deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from pytest_mailauth.model import deviations as d
from pytest_mailauth.model.terms import Certificate, Protocol
from pytest_mailauth.servers.acts import FAULTS
from pytest_mailauth.strategies.cases import mix, one

if TYPE_CHECKING:
    from pytest_mailauth.servers.server import MailServer

DELAY: Final = 0.005
"""Seconds that a delay of a plan lasts: a test tries many plans."""
_ACTS: Final = ("drop", "reset", "garble", "delay", "drip", "refuse", "later")
_REPLIES: Final[dict[Protocol, dict[str, tuple[Any, ...]]]] = {
    Protocol.SMTP: {"refuse": (550, "5.7.1 not for you"), "later": (451, "4.3.0 later")},
    Protocol.IMAP: {"refuse": ("NO not for you",), "later": ("NO [UNAVAILABLE] later",)},
    Protocol.POP3: {"refuse": ("-ERR not for you",), "later": ("-ERR [SYS/TEMP] later",)},
}
VERBS: Final[dict[Protocol, tuple[str, ...]]] = {
    Protocol.SMTP: ("EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "message", "QUIT"),
    Protocol.IMAP: ("CAPABILITY", "STARTTLS", "LOGIN", "AUTHENTICATE", "SELECT", "FETCH", "LOGOUT"),
    Protocol.POP3: ("CAPA", "STLS", "USER", "PASS", "AUTH", "STAT", "RETR", "QUIT"),
}
"""The commands that a plan is about."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What one command meets.

    Attributes:
        verb: The command.
        act: ``"drop"``, ``"reset"``, ``"garble"``, ``"delay"``, ``"drip"``, or a reply: ``"refuse"``, ``"later"``.
        times: How many times at most.
    """

    verb: str
    act: str
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Faults that a server is told before a client comes.

    Attributes:
        faults: What commands meet, the first ones first.
        seed: Chooses faults beside those; None for none.
        rate: The share of the commands that meet one of those.

    Examples:
        >>> from pytest_mailauth import MailServers
        >>> with MailServers() as servers:
        ...     FaultPlan(faults=(Fault(verb="AUTH", act="drop"),)).tell(servers.smtp())
    """

    faults: tuple[Fault, ...] = ()
    seed: int | None = None
    rate: float = 0.0

    def tell(self, server: MailServer) -> None:
        """Tell *server* to meet its clients so. No command has to come.

        Raises:
            ConfigError: A command does not exist in the protocol of the server.
        """
        for fault in self.faults:
            expectation = server.on(fault.verb).optional().times(fault.times)
            match fault.act:
                case "delay" | "drip":
                    getattr(expectation, fault.act)(DELAY if fault.act == "delay" else DELAY / 50)
                case "refuse" | "later":
                    expectation.reply(*_REPLIES[server.protocol][fault.act])
                case act:
                    getattr(expectation, act)()
        if self.seed is not None:
            server.faults(seed=self.seed, rate=self.rate, kinds=FAULTS, delay=DELAY)


def fault_plans(protocol: Protocol | str = Protocol.SMTP) -> st.SearchStrategy[FaultPlan]:
    """Return plans of faults for servers of one protocol: ``plan.tell(server)`` before the client connects.

    Args:
        protocol: The protocol. Default ``"smtp"``.

    Distribution:
        2/10 none: no fault.
        3/10 one: one command meets one fault, once.
        2/10 several: two to four, each up to three times.
        2/10 seeded: a share of all commands, chosen by a seed.
        1/10 both: one by a script, and others by a seed.

    Shrinks to: ``FaultPlan()``, which is no fault.
    """
    kind = Protocol(protocol)
    verb, act = one(VERBS[kind]), one(_ACTS)
    single = st.builds(Fault, verb=verb, act=act)
    several = st.lists(st.builds(Fault, verb=verb, act=act, times=st.integers(1, 3)), min_size=2, max_size=4)
    seed, rate = st.integers(0, 999), one((0.1, 0.3, 0.5, 1.0))
    return mix(
        "fault_plans",
        (2, "none", st.just(FaultPlan())),
        (3, "one", st.builds(FaultPlan, faults=st.tuples(single))),
        (2, "several", st.builds(FaultPlan, faults=several.map(tuple))),
        (2, "seeded", st.builds(FaultPlan, seed=seed, rate=rate)),
        (1, "both", st.builds(FaultPlan, faults=st.tuples(single), seed=seed, rate=rate)),
    )


_INJECTED: Final[dict[Protocol, bytes]] = {
    Protocol.SMTP: b"250 AUTH PLAIN\r\n",
    Protocol.IMAP: b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
    Protocol.POP3: b"+OK injected\r\n",
}
_REFUSED: Final[dict[Protocol, bytes]] = {
    Protocol.SMTP: b"454 4.7.0 TLS not available\r\n",
    Protocol.IMAP: b"{tag} BAD no\r\n",
    Protocol.POP3: b"-ERR no\r\n",
}
_STARTTLS: Final = {Protocol.SMTP: "STARTTLS", Protocol.IMAP: "STARTTLS", Protocol.POP3: "STLS"}
_LOGINS: Final = {Protocol.SMTP: "AUTH", Protocol.IMAP: "LOGIN", Protocol.POP3: "PASS"}


def deviations(protocol: Protocol | str = Protocol.SMTP) -> st.SearchStrategy[d.Deviation]:
    """Return single ways to misbehave, for ``ServerConfig(deviations=(one,))`` with STARTTLS or implicit TLS.

    All but those that need a TLS engine of their own, tickets, or a flood of data, and ``Agree``, ``Precede`` and
    ``Withhold``, which are about single replies that only a scenario asks for.

    Args:
        protocol: The protocol. Default ``"smtp"``.

    Distribution:
        2/12 slow: replies come late and byte by byte, a few milliseconds each.
        2/12 stripped: STARTTLS is left out of the capabilities, or refused.
        2/12 injected: bytes in the segment of the STARTTLS reply, or in front of TLS.
        2/12 announced: capabilities that are not true.
        2/12 login: logins are refused, let in unasked, or SCRAM and its kin are played wrongly.
        1/12 greeting: another greeting, or none.
        1/12 broken off: the connection ends in a reply, at a command, or by an alert.

    Shrinks to: ``Slow(delay=0.001)``, which harms nobody.
    """
    kind = Protocol(protocol)
    injected, starttls, login = _INJECTED[kind], _STARTTLS[kind], _LOGINS[kind]
    proofs = ("SCRAM-SHA-256", "SCRAM-SHA-1")
    return mix(
        "deviations",
        (2, "slow", one((d.Slow(delay=0.001), d.Delay(verb=login, seconds=0.001, over_tls=True)))),
        (2, "stripped", one((d.Hide(names=(starttls,)), d.Answer(verb=starttls, reply=_REFUSED[kind])))),
        (2, "injected", one((d.Trail(data=injected), d.StayClear(data=injected), d.Preface(data=injected)))),
        (2, "announced", st.builds(d.Announce, lines=one((("AUTH PLAIN",), ("X-NEW",))), over_tls=st.booleans())),
        (
            2,
            "login",
            one(
                (
                    d.Refuse(mechanisms=("PLAIN",)),
                    d.Admit(mechanisms=("PLAIN", *proofs)),
                    d.Challenge(mechanisms=proofs, line=b"!"),
                    d.MisplaySCRAM(signature="missing"),
                    d.MisplaySCRAM(nonce="replaced"),
                    d.SwapPrompts(),
                )
            ),
        ),
        (1, "greeting", one((d.Greet(data=b""), d.Greet(data=injected), d.GreetAgain(data=injected)))),
        (
            1,
            "broken off",
            one(
                (
                    d.BreakOff(verbs=(login,)),
                    d.Cut(verbs=(login,)),
                    d.RefuseHello(alert=40),
                    d.Swap(certificate=Certificate.EXPIRED),
                )
            ),
        ),
    )
