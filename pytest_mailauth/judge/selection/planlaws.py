"""The laws of plans: what holds for every further attempt, however the attempts before it ended.

Like the laws of a single choice, each judges what is its own and nothing else. Explicit TLS after implicit TLS is no
loss here (S14: the client may choose), as long as nobody on the way can take TLS away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pytest_mailauth.judge.selection.laws import LAWS, MODERN, Law
from pytest_mailauth.judge.selection.situation import OPPORTUNISTIC, Choice, Situation
from pytest_mailauth.model.terms import RELAY_PORT, TLS_VERSIONS, Security

LIMIT: Final = 10
"""Attempts after which a plan has to end, unless told otherwise."""

_RANKS: Final = {Security.NONE: 0, OPPORTUNISTIC: 1, Security.STARTTLS: 2, Security.IMPLICIT: 2}
"""How secure a mode is. An attacker decides what becomes of opportunistic TLS; it is still more than none."""
_WORDS: Final = (
    "any mode, or giving up",
    "mode='implicit' or mode='starttls' (or 'opportunistic', as before), or giving up",
    "mode='implicit' or mode='starttls', as before, or giving up",
)


def _never_weaker(asked: Situation, choice: Choice) -> str | None:
    strongest = max(_RANKS.get(one.mode, 0) for one in asked.before)
    return None if choice.mode is None or _RANKS.get(choice.mode, 0) >= strongest else _WORDS[strongest]


def _never_clear(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.mode is None or choice.is_secure else "mode='implicit' or mode='starttls', or giving up"


def _never_older(asked: Situation, choice: Choice) -> str | None:
    said = [one.min_tls for one in asked.before if one.min_tls in TLS_VERSIONS]
    floor = max(said, default=None)
    if choice.min_tls is None or floor is None or choice.min_tls >= floor:
        return None
    return f"min_tls={floor!r} or newer, as before, or giving up"


def _floor(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.min_tls in (None, *MODERN) else "min_tls='1.2' or '1.3'"


def _verified(_asked: Situation, choice: Choice) -> str | None:
    return "verify=True, or giving up" if choice.verify is False else None


def _same_host(asked: Situation, choice: Choice) -> str | None:
    first = next((one.host for one in asked.before if one.host is not None), None)
    same = choice.host is None or first is None or choice.host.rstrip(".").lower() == first.rstrip(".").lower()
    return None if same else f"host={first!r}, as before, or giving up"


def _not_25(asked: Situation, choice: Choice) -> str | None:
    # A cleartext mode is for the laws about clear text, on this port as on any other.
    relays = choice.port == RELAY_PORT and choice.is_secure
    return f"port=465 or port=587{', or giving up' if asked.before else ''}" if relays else None


def _names_submission(asked: Situation, choice: Choice) -> str | None:
    # Who gives up without a word has not said anything that could be wrong: whoever asked may say it.
    return None if choice.refusal == "" else LAWS["blocked-25-names-587"].judge(asked, choice)


def _ends(_asked: Situation, _choice: Choice) -> str | None:
    return None  # counted by whoever asks, who knows the limit


ENDS: Final = "plan-ends"

PLAN_LAWS: Final[dict[str, Law]] = {
    law.name: law
    for law in (
        replace(
            LAWS["never-cleartext-credentials"],
            about=lambda asked: asked.credentials and not asked.before,
            judge=_never_clear,
            takes=frozenset(),
            remedy="Begin with implicit TLS or STARTTLS, and require it.",
        ),
        replace(
            LAWS["never-weaker-after-failure"],
            about=lambda asked: bool(asked.before) and asked.credentials,
            judge=_never_weaker,
            takes=frozenset(),
            remedy="Take attempts that do without TLS out of the plan: give up, and tell the user what failed.",
        ),
        replace(
            LAWS["tls-floor"],
            about=lambda asked: not asked.before,
            judge=_floor,
            remedy="Set the oldest version to TLS 1.2.",
        ),
        Law(
            name="never-older-tls-after-failure",
            statement="After a failure the next attempt takes no older TLS version than the one before.",
            reason="An attacker breaks handshakes until a client comes with a version that he can break.",
            sources=("S5", "S12", "RFC 7507", "RFC 8997"),
            about=lambda asked: bool(asked.before),
            judge=_never_older,
            takes=frozenset(),
            answers=frozenset({"min_tls"}),
            remedy="Let TLS negotiate the version; never set an older one because a handshake failed.",
        ),
        Law(
            name="always-verifies",
            statement="Every attempt verifies the certificate, also after one that could not be trusted.",
            reason="A bad certificate is the sign of an attack; a second try without looking is what it waits for.",
            sources=("S9", "RFC 8314 section 5.3"),
            about=lambda asked: asked.credentials,
            judge=_verified,
            takes=frozenset(),
            answers=frozenset({"verify"}),
            remedy="Give up on a bad certificate, and say what is wrong with it.",
        ),
        Law(
            name="same-host-after-failure",
            statement="After a failure the next attempt goes to the same host.",
            reason="The password is for that host; another one that takes it has been chosen by the failure.",
            sources=("S4", "S8"),
            about=lambda asked: bool(asked.before),
            judge=_same_host,
            takes=frozenset(),
            answers=frozenset({"host"}),
            remedy="Try other ports of the same host, or give up and ask the user for another host.",
        ),
        replace(
            LAWS["submission-not-25"],
            about=lambda asked: LAWS["submission-not-25"].about(replace(asked, before=())),
            judge=_not_25,
            takes=frozenset(),
            remedy="Take port 25 out of the plan.",
        ),
        replace(
            LAWS["blocked-25-names-587"],
            judge=_names_submission,
            remedy="Go on with port 587 or 465, or name them where you give up.",
        ),
        Law(
            name=ENDS,
            statement="After some attempts that failed, a client gives up.",
            reason="Who tries for ever tells the user nothing, and gives an attacker as many tries as he likes.",
            sources=("S11",),
            about=lambda _: True,
            judge=_ends,
            takes=frozenset(),
            answers=frozenset(),
            remedy="Try each port once, and give up after the last.",
        ),
        replace(
            LAWS["deterministic"], remedy="Let the answer depend on the attempts alone: no clock, chance or memory."
        ),
    )
}
"""Every law of plans by name."""
