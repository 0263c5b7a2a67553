"""The laws that every selector obeys, each with the questions that it is about.

A law judges what is its own and nothing else, so that one mistake is told once: which mode is cleartext is for
``never-cleartext-credentials``, what a port stands for is for ``standard-ports``, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pytest_mailauth.judge.selection.situation import Choice, Failure, Situation
from pytest_mailauth.judge.selection.table import MODES, PORTS, plan_for
from pytest_mailauth.model.terms import RELAY_PORT, Protocol, Security

MODERN: Final = ("1.2", "1.3")
"""The TLS versions of today (RFC 8997)."""

_SUBMISSION: Final = re.compile(r"(?<!\d)(?:587|465)(?!\d)")

Judge = Callable[[Situation, Choice], str | None]
"""Returns what would have been right, or None when the choice was."""


@dataclass(frozen=True, kw_only=True)
class Law:
    """One law.

    Attributes:
        name: What it is called.
        statement: What it demands, in one sentence.
        reason: Why, in one line.
        sources: Paragraphs of the source document (S-numbers) and sections of RFCs.
        about: Whether a question is one that it speaks to.
        judge: Returns what would have been right, or None when the choice was.
        takes: What of a question a selector has to look at to be asked.
        answers: What of a choice it has to say to be judged.
        twice: Whether the same question is asked twice.
        remedy: What to do about it, in one sentence; empty where nothing is told.
        by_refusing: Whether it is obeyed by refusing, too. Where not, who refuses every question has shown nothing.
    """

    name: str
    statement: str
    reason: str
    sources: tuple[str, ...]
    about: Callable[[Situation], bool]
    judge: Judge
    takes: frozenset[str] = frozenset({"port"})
    answers: frozenset[str] = frozenset({"mode"})
    twice: bool = False
    remedy: str = ""
    by_refusing: bool = False


def _right_mode(asked: Situation, choice: Choice) -> str | None:
    wanted = plan_for(asked)
    # A refusal of a standard port is as wrong; a cleartext mode is for never-cleartext-credentials.
    return f"mode={wanted!r}" if choice.is_refused or (choice.is_secure and choice.mode != wanted) else None


def _must_refuse(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.is_refused else "a refusal that tells the user to state implicit or starttls"


def _never_clear(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.is_refused or choice.is_secure else "mode='implicit' or mode='starttls', or a refusal"


def _never_weaker(_asked: Situation, choice: Choice) -> str | None:
    if choice.is_refused:
        return None
    if not choice.is_secure:
        return "mode='implicit' or mode='starttls', as before, or a refusal"
    if choice.verify is False:
        return "verify=True, or a refusal"
    # An older TLS is a weaker attempt as well; for who never says a version there is nothing to compare.
    return None if choice.min_tls in (None, *MODERN) else "min_tls='1.2' or '1.3', as before, or a refusal"


def _names_submission(_asked: Situation, choice: Choice) -> str | None:
    if choice.is_refused and _SUBMISSION.search(choice.refusal or ""):
        return None
    if not choice.is_refused and choice.port in (587, 465):
        return None
    return "port=587 (or 465), or a refusal that names it"


def _not_25(_asked: Situation, choice: Choice) -> str | None:
    return "port=465 or port=587" if choice.port == RELAY_PORT else None


def _right_name(asked: Situation, choice: Choice) -> str | None:
    wanted = asked.service.host_for(asked.protocol) if asked.service else None
    return None if choice.is_refused or _same(choice.host, wanted) else f"host={wanted!r}"


def _same(host: str | None, wanted: str | None) -> bool:
    """Return whether two host names are the same one: in any case, with or without the dot of the root (RFC 4343)."""
    one, other = ((name or "").rstrip(".").lower() for name in (host, wanted))
    return one == other


def _token(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.is_refused or choice.auth == "oauth" else "auth='oauth', or a refusal"


def _floor(_asked: Situation, choice: Choice) -> str | None:
    return None if choice.is_refused or choice.min_tls in MODERN else "min_tls='1.2' or '1.3'"


def _is_standard(asked: Situation) -> bool:
    return asked.stated is None and (asked.protocol, asked.port) in MODES and not asked.before


def _is_custom(asked: Situation) -> bool:
    # A port that stands for a mode in another protocol may be taken for it: no document forbids that.
    return asked.stated is None and asked.port is not None and asked.port not in PORTS and not asked.before


def _blocked_25(asked: Situation) -> bool:
    last = asked.failed
    return (
        asked.protocol is Protocol.SMTP
        and last is not None
        and last.port == RELAY_PORT
        and last.failure in (Failure.TIMEOUT, Failure.REFUSED)
    )


LAWS: Final[dict[str, Law]] = {
    law.name: law
    for law in (
        Law(
            name="standard-ports",
            statement="465, 993 and 995 mean implicit TLS; 25, 587, 110 and 143 mean STARTTLS.",
            reason="Implicit TLS on a port with STARTTLS, or the reverse, never connects.",
            sources=("S9", "S13", "S14", "RFC 8314 section 3"),
            about=_is_standard,
            judge=_right_mode,
        ),
        Law(
            name="custom-port-needs-mode",
            statement="Any other port needs a stated mode; without one, the client refuses.",
            reason="A number such as 2525 does not tell whether TLS comes first; guessing ends in clear, or nowhere.",
            sources=("S10",),
            about=_is_custom,
            judge=_must_refuse,
            by_refusing=True,
        ),
        Law(
            name="stated-mode-wins",
            statement="A TLS mode that the user states is used on every port.",
            reason="The user may know a server that is unlike others; the habit of a port is only a habit.",
            sources=("S10", "S14"),
            about=lambda asked: asked.stated is not None and plan_for(asked) == asked.stated and not asked.before,
            judge=_right_mode,
            takes=frozenset({"port", "stated"}),
        ),
        Law(
            name="never-cleartext-credentials",
            statement="With credentials, a client never connects without TLS, nor with TLS that is used if offered.",
            reason="Whoever is on the way reads the password, or takes the offer of TLS away and reads it then.",
            sources=("S9", "S12", "RFC 8314 section 5.2"),
            about=lambda asked: asked.credentials and not asked.before and not _is_custom(asked),
            judge=_never_clear,
        ),
        Law(
            name="never-weaker-after-failure",
            statement="After a failure the next attempt is as secure as the one before, or there is none.",
            reason="An attacker who can block a port or break a handshake would choose the security.",
            sources=("S11", "RFC 8314 section 5.2"),
            about=lambda asked: bool(asked.before) and asked.credentials and asked.stated is not Security.NONE,
            judge=_never_weaker,
            takes=frozenset({"before"}),
            by_refusing=True,
        ),
        Law(
            name="blocked-25-names-587",
            statement="Where port 25 gives no answer, the client turns to 587 or 465, or names them.",
            reason="Providers block 25; submission has ports of its own, and the user has to hear of them.",
            sources=("S6", "S7", "S11"),
            about=_blocked_25,
            judge=_names_submission,
            takes=frozenset({"before"}),
            answers=frozenset({"port"}),
            by_refusing=True,
        ),
        Law(
            name="submission-not-25",
            statement="A client that chooses the port of a submission server takes 465 or 587.",
            reason="25 is for relaying between servers, and often blocked.",
            sources=("S6", "RFC 6409 section 3.1", "RFC 8314 section 3.3"),
            about=lambda asked: asked.protocol is Protocol.SMTP and asked.port is None and not asked.before,
            judge=_not_25,
            takes=frozenset({"protocol"}),
            answers=frozenset({"port"}),
        ),
        Law(
            name="right-name-for-right-job",
            statement="Sending goes to the provider's host for sending, retrieving to the one for retrieving.",
            reason="Many providers have different names for the two.",
            sources=("S4", "S8"),
            about=lambda asked: asked.service is not None,
            judge=_right_name,
            takes=frozenset({"service"}),
            answers=frozenset({"host"}),
        ),
        Law(
            name="oauth-when-required",
            statement="Where the provider requires OAuth 2.0, the client logs in with a token, or refuses.",
            reason="The password is refused there, and would have been given away for nothing.",
            sources=("S15", "S16"),
            about=lambda asked: asked.service is not None and asked.service.requires_oauth and asked.credentials,
            judge=_token,
            takes=frozenset({"service"}),
            answers=frozenset({"auth"}),
            by_refusing=True,
        ),
        Law(
            name="tls-floor",
            statement="TLS 1.2 or newer.",
            reason="Servers refuse older versions, and attackers do not.",
            sources=("S5", "S9", "S12", "RFC 8997"),
            about=lambda asked: asked.stated is not Security.NONE,
            judge=_floor,
            takes=frozenset(),
            answers=frozenset({"min_tls"}),
        ),
        Law(
            name="deterministic",
            statement="The same question has the same answer.",
            reason="What cannot be repeated cannot be tested, nor explained to a user.",
            sources=("S10",),
            about=lambda _: True,
            judge=lambda _asked, _choice: None,
            takes=frozenset(),
            answers=frozenset(),
            twice=True,
            by_refusing=True,
        ),
    )
}
"""Every law by name."""
