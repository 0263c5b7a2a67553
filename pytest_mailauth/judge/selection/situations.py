"""Questions for selectors, as Hypothesis makes them: the well-known ports often, others now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from pytest_mailauth.judge.selection.questions import PROVIDER, SPLIT
from pytest_mailauth.judge.selection.situation import Attempted, Failure, Service, Situation
from pytest_mailauth.judge.selection.table import MODES, PORTS
from pytest_mailauth.model.terms import Protocol, Security

if TYPE_CHECKING:
    from pytest_mailauth.judge.selection.laws import Law

CUSTOM: Final = (2525, 8025, 10025, 24, 26, 2465, 2587, 8143, 1993, 1110, 65535, 1)
"""Ports that people put mail servers on, the neighbours of well-known ones, and the ends."""

IMPOSSIBLE: Final = (0, 65536, -1)
"""What a user may type for a port, and is none; it tells no mode either."""

_TLS: Final = (Security.STARTTLS, Security.IMPLICIT)
_SECURE: Final = Service(
    name="secure",
    sending="smtps.ssl.secure.test",
    retrieving={Protocol.IMAP: "imaps.secure.test", Protocol.POP3: "pop3s.secure.test"},
)
"""Its names sound like a mode, and tell none."""


def ports() -> st.SearchStrategy[int]:
    """Return ports: two in three are well known, one in six is a favourite of its own, the others are any."""
    known = st.sampled_from((587, 465, 993, 995, 143, 110, 25))
    return st.one_of(known, known, known, known, st.sampled_from(CUSTOM), st.integers(1, 65535))


def attempts() -> st.SearchStrategy[Attempted]:
    """Return failed attempts, secure ones: what came before is what must not be weakened."""
    return st.builds(
        Attempted,
        port=st.sampled_from((587, 465, 25, 993, 143, 995, 110, 2525)),
        mode=st.sampled_from(_TLS),
        failure=st.sampled_from(Failure),
    )


def _simplest(where: tuple[Protocol, int]) -> tuple[int, int]:
    protocol, port = where
    return list(Protocol).index(protocol), -port


_NO_MODE: Final = st.none()
_BLOCKED: Final = st.builds(
    Attempted,
    port=st.just(25),
    mode=st.just(Security.STARTTLS),
    failure=st.sampled_from((Failure.TIMEOUT, Failure.REFUSED)),
)
_FAVOURITES: Final = st.sampled_from([port for port in CUSTOM if port not in PORTS])
_ALIKE: Final = st.sampled_from((2465, 2587, 1993, 8143, 1110))
"""Ports whose last digits are those of a well-known one: a selector may take them for it."""
_CUSTOM: Final = st.one_of(
    _FAVOURITES,
    _FAVOURITES,
    _ALIKE,
    st.integers(1, 65535).filter(lambda port: port not in PORTS),
    st.sampled_from(IMPOSSIBLE),
)


def _befores(least: int = 0) -> st.SearchStrategy[tuple[Attempted, ...]]:
    return st.lists(attempts(), min_size=least, max_size=3).map(tuple)


# One of two: in one_of(ports(), none()) Hypothesis would count every branch of ports().
_GIVEN_OR_CHOSEN: Final = st.sampled_from((True, False)).flatmap(lambda given: ports() if given else st.none())

_STATED: Final = st.one_of(_NO_MODE, st.sampled_from((Security.NONE, *_TLS)))
"""Half of the users state nothing: the choice is the selector's then."""

_STANDARD: Final = st.sampled_from(sorted(MODES, key=_simplest))
_ANYWHERE: Final = st.one_of(_STANDARD, _STANDARD, st.tuples(st.sampled_from(Protocol), ports()))

ABOUT: Final[dict[str, dict[str, st.SearchStrategy[Any]]]] = {
    "standard-ports": {"where": _STANDARD, "stated": _NO_MODE},
    "never-cleartext-credentials": {"where": _ANYWHERE, "credentials": st.just(True)},  # noqa: FBT003 - a value
    "custom-port-needs-mode": {"stated": _NO_MODE, "port": _CUSTOM},
    "stated-mode-wins": {"where": _ANYWHERE, "stated": st.sampled_from(_TLS)},
    "never-weaker-after-failure": {"before": _befores(1)},
    "blocked-25-names-587": {"protocol": st.just(Protocol.SMTP), "port": st.just(25), "before": st.tuples(_BLOCKED)},
    "right-name-for-right-job": {"port": _GIVEN_OR_CHOSEN},
    "oauth-when-required": {"port": _GIVEN_OR_CHOSEN},
    "tls-floor": {"port": _GIVEN_OR_CHOSEN},
    "deterministic": {"port": _GIVEN_OR_CHOSEN},
    "submission-not-25": {"protocol": st.just(Protocol.SMTP), "port": st.none(), "stated": _NO_MODE},
}
"""What the questions of a law have that others have not, so that hardly any has to be thrown away.

``where`` is protocol and port together.
"""


def situations(law: Law, takes: frozenset[str]) -> st.SearchStrategy[Situation]:
    """Return the questions that a law is about, as far as a selector looks at what is asked.

    Args:
        law: The law.
        takes: What of a situation the selector looks at; nothing else is varied.
    """
    usual: dict[str, st.SearchStrategy[Any]] = {
        "protocol": st.sampled_from(Protocol),
        "port": ports(),
        "stated": _STATED if "stated" in takes else _NO_MODE,
        "credentials": st.booleans() if "credentials" in takes else st.just(True),  # noqa: FBT003 - a value, no flag
        "service": _services(law) if "service" in takes else st.none(),
        "before": st.one_of(st.just(()), _befores()) if law.twice and "before" in takes else st.just(()),
    }
    parts = usual | ABOUT.get(law.name, {})
    if "where" in parts:
        del parts["protocol"], parts["port"]
    return st.builds(_situation, **parts).filter(law.about)


def _services(law: Law) -> st.SearchStrategy[Service | None]:
    if "service" in law.takes:
        return st.sampled_from((PROVIDER, SPLIT, _SECURE))
    # Elsewhere nobody has to know OAuth 2.0, nor to refuse for want of it.
    return st.sampled_from((None, SPLIT, _SECURE))


def _situation(*, where: tuple[Protocol, int] | None = None, **parts: Any) -> Situation:
    return Situation(**parts) if where is None else Situation(protocol=where[0], port=where[1], **parts)
