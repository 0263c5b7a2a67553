"""What a client says about a failure of its own: does it name the network, blame the credentials, give the address?

Words are the weakest evidence there is, so they are read strictly in both directions. A cause is a phrase that tells
of a failure ("connection refused"), never a word that stands in a progress line too ("connecting to"). Credentials
are blamed where they are called wrong or refused, not where they are mentioned ("login was not attempted").
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.attempts import AttemptOutcome

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_LABEL: Final = re.compile(r"<(?:password|token|redacted)>")
"""What the judge itself writes in the place of a secret."""


def _any(*phrases: str) -> str:
    return "(?:" + "|".join(phrases) + ")"


_CANNOT: Final = _any(
    r"can(?:no|')t", r"can not", r"could(?: not|n't)", r"unable to", r"not able to", r"fail(?:ed|ure|s)? to",
    r"did(?: not|n't)", r"error", r"problem", r"exception", r"failure",
)  # fmt: skip
_BROKEN: Final = _any(
    r"refused", r"reset", r"closed", r"lost", r"fail(?:ed|s|ure)?", r"abort(?:ed)?", r"dropped", r"terminated",
    r"broken", r"interrupted", r"down", r"error", r"blocked", r"unreachable", r"could not", r"can(?:no|')t",
)  # fmt: skip
_SYSTEM_ERRORS: Final = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.EPIPE,
)  # fmt: skip

_NETWORK: Final = re.compile(
    _any(
        # It broke: a connection to such and such was unexpectedly closed, or could not be made.
        r"\b(?:connection|connect|connecting|socket|port|network)"
        r"(?: \d+| (?:attempt|to|with|by|at|from|on) (?:the )?\S+)?[:,]?"
        rf"(?: (?:was|is|has|been|got|unexpectedly|suddenly|actively)){{0,3}}[:,]? {_BROKEN}",
        rf"{_CANNOT}(?: (?:while|when|in|to|be))? "
        r"(?:connect|reach|contact|establish|receiv|read(?:ing)? (?:from|the|greeting|reply|response|data)|"
        r"open(?:ing)? (?:an? |the )?(?:connection|socket|port|channel|\S+:\d))",
        r"(?:read|recv|receive|reading|send|write) (?:failed|failure|error)",
        r"not (?:be )?(?:connected|reach(?:ed|able)|respond\w*|answer\w*|listening)",
        # The other side refused or ended it.
        r":\d+(?:\)?:| is| was) (?:refused|reset|closed|blocked)\b",
        r"refus\w+ (?:the |our |a |to )?connect",
        r"actively refused",
        r"reset by",
        r"clos\w+ (?:the |our )connection",
        r"closed by",
        r"clos\w+ unexpectedly",
        r"unexpectedly clos",
        r"hung up",
        r"disconnected",
        r"broken pipe",
        r"\beof\b",
        r"end of (?:file|stream|input|data)",
        # Nobody answered. A time-out that was set ("timeout 2 s", "timeout=2") has not run out.
        r"tim(?:ed|es|ing)[ -]?out",
        r"\btime[ -]?out\b(?! (?:of|is|set)\b)(?!\W{0,3}\d)",
        r"deadline exceeded",
        r"\bno (?:answer|greeting|response|reply|connection|server|service|data|bytes)\b",
        r"(?:did|does|do|has|is)(?: not|n't) (?:answer|respond|repl|greet|listen)",
        r"never (?:answer|repl|respond|gree)",
        r"nothing (?:came|listens)",
        r"empty (?:reply|response|greeting)",
        # It is not there.
        r"(?:server|host|peer|service|\d)\W{1,2}(?:is |was |seems )?(?:not available|unavailable|offline|down|dead)",
        r"unreachable",
        r"no route",
        r"firewall",
        r"check (?:the |your )?(?:network|connection)\b",
        # The name leads nowhere: getaddrinfo's texts on several systems, and those of curl and Node.js.
        r"(?:name or service|nodename nor servname|no such host|host)(?: is)?(?: provided, or)? not (?:known|found)",
        r"no (?:such host|address associated)",
        r"name resolution",
        r"(?:resolv\w*|look(?:ing)? ?up) (?:of |the )?(?:\S+ )?(?:host|name|address|hostname|fail\w*)",
        r"gaierror|getaddrinfo|\benotfound\b",
        # How systems and libraries call all that: ConnectionRefusedError, SSLEOFError, ECONNRESET, errno 111.
        r"(?:connect|socket|timeout|network|eof|brokenpipe|unreach)\w*(?:error|exception|failed|failure)",
        r"\be(?:conn(?:refused|reset|aborted)|timedout|hostunreach|netunreach|hostdown|pipe)\b",
        rf"\berrno\W{{0,2}}{_any(*map(str, _SYSTEM_ERRORS))}\b",
    ),
    re.IGNORECASE,
)

_REFUSAL: Final = re.compile(
    _any(
        r"\b(?:554|421)\b",  # RFC 5321 sections 3.1 and 3.8
        r"\* bye\b",
        r"-err\b",
        r"(?:unexpected|invalid|weird|bad) (?:\S+ )?(?:response|reply|greeting|banner)",
        r"refused (?:the )?(?:service|connection)",
        r"service (?:was )?(?:refused|not available|unavailable)",
    ),
    re.IGNORECASE,
)

_CREDENTIALS: Final = (
    r"\b(?:passwords?|passwd|passphrase|credentials?|log ?in|logon|user ?names?|accounts?|"
    r"authentication|authenticating|authorization|auth|token)\b"
)
_NEXT: Final = r"[^\w;]{1,3}"
"""From one word to the next of the same statement."""
_GAP: Final = rf"(?:(?!(?:not|no|never|host|port|server|network|connection)\b)\w+{_NEXT})"
"""A word between the halves of a phrase: none that turns its sense round, or that is about something else."""

_BLAME: Final = re.compile(
    _any(
        # Wrong account; check user name and password.
        rf"\b(?:wrong|invalid|incorrect|bad|unknown|expired|mistyped|check|verify){_NEXT}{_GAP}{{0,3}}{_CREDENTIALS}",
        # Login to such and such failed; user name and password not accepted.
        rf"{_CREDENTIALS}{_NEXT}{_GAP}{{0,8}}(?:fail(?:ed|s|ure)|rejected|refused|denied|incorrect|wrong|invalid|"
        r"unsuccessful|error|expired|not (?:accepted|valid|correct))\b",
        r"(?:auth|login|credential|password)[a-z]*(?:error|exception|failed|failure|denied|refused|rejected)",
        rf"{_CANNOT} (?:log ?in|log on|sign in|authenticat)",
        r"(?:refused|rejected|denied) (?:the |our |your )?(?:log ?in|password|credentials|user)",
        r"access (?:was |is )?denied",
        r"unauthori[sz]ed",
    ),
    re.IGNORECASE,
)


def own_words(trial: Trial) -> str | None:
    """Return what the client reported, raised or printed about its failure, or None."""
    said = trial.outcome.facts.get("error", trial.outcome.error)
    return None if said is None else str(said)


def names_network(said: str | None) -> bool:
    """Return whether a failure of the network is named as the cause."""
    return _NETWORK.search(said or "") is not None


def names_refusal(said: str | None) -> bool:
    """Return whether it is said that the server greeted with a refusal of service, in words or by its code."""
    return _REFUSAL.search(said or "") is not None


def blames_credentials(said: str) -> bool:
    """Return whether the credentials are said to be at fault, and nothing of the network is."""
    return not names_network(said) and _BLAME.search(_LABEL.sub("", said)) is not None


def resolves(trial: Trial) -> bool:
    """Return whether the name of the server has an address, as far as the client asked for it."""
    asked = [one.outcome for one in trial.attempts if one.name == trial.served.host]
    return not asked or AttemptOutcome.UNRESOLVABLE not in asked


_LATER: Final = re.compile(
    _any(
        r"temporar\w*",
        r"(?:try|retry|tried)(?: \w+){0,3} (?:again|later)",
        r"(?:again|retry|try) later",
        r"not possible (?:now|at present|at the moment)",
        r"(?:at present|at the moment|for now|currently|right now)",
        r"unavailable",
        r"\b454\b|sys/temp",
    ),
    re.IGNORECASE,
)
_TLS: Final = re.compile(r"\b(?:tls|ssl|starttls|stls|encrypt\w*|privacy\w*|secured?|53[08])\b", re.IGNORECASE)
_WRONG: Final = re.compile(r"\b535\b|authenticationfailed|\[auth\]", re.IGNORECASE)


def names_delay(said: str) -> bool:
    """Return whether it is said that the server cannot tell now, and may later."""
    return _LATER.search(said) is not None


def names_tls(said: str) -> bool:
    """Return whether it is said that TLS is missing."""
    return _TLS.search(said) is not None


def names_wrong_login(said: str) -> bool:
    """Return whether the login is said to be refused for good, in words or by the code of the reply."""
    return not names_delay(said) and (blames_credentials(said) or _WRONG.search(said) is not None)


_MODE: Final = re.compile(
    r"\b(?:tls|ssl|starttls|stls|implicit|explicit|encrypt\w*|security|mode|port)\b", re.IGNORECASE
)
"""What a client speaks of that wants to be told how a port is secured."""


def asks_for_mode(said: str | None) -> bool:
    """Return whether a client that made no connection speaks of the port or the mode, and not of the network."""
    return said is not None and _MODE.search(said) is not None and not names_network(said)


def unnamed(trial: Trial, said: str) -> str | None:
    """Return what is missing of host and port, as in ``"names neither host nor port"``, or None for nothing.

    An address is as good as the name it stands for. A number counts when it is the port's and stands by itself. Where
    the name has no address, no port was reached that could be named.
    """
    if trial.declared.discovers != "no":
        # Whoever found the hosts may name any of them.
        names = {one.name: one for one in trial.attempts if one.name and one.name in said}
        return None if names else "names no host that it tried"
    if not resolves(trial):
        return None if trial.served.host in said else "does not name the host"
    tried = [one for one in trial.attempts if one.name == trial.served.host]
    addresses = {one.address for one in tried if one.address}
    # Whoever chose the port may name any that it tried.
    ports = {one.port for one in tried} if trial.declared.port == "chosen" else set(trial.ports[:1])
    host = any(name in said for name in (trial.served.host, "127.0.0.1", "::1", *addresses))
    port = any(re.search(rf"\b{number}\b", said) for number in ports)
    return _UNNAMED[host, port]


_UNNAMED: Final[dict[tuple[bool, bool], str | None]] = {
    (True, True): None,
    (True, False): "names the host and not the port",
    (False, True): "names the port and not the host",
    (False, False): "names neither host nor port",
}
