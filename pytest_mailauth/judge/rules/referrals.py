"""Rules about servers that name another server: whoever goes there goes where an attacker may want it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import leak, operations, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.deviations import Answer
from pytest_mailauth.model.terms import Layer, Security, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Trial

_LISTENER: Final = "decoy"


@rule(
    "no-automatic-referral",
    requirement="A client does not follow a server's hint to another server by itself, where its password is less safe "
    "there.",
    expected="The client reports that the server names another one, and does not connect there.",
    sources=("RFC 2221 section 6", "RFC 2193 section 3", "RFC 9051 section 11.3", "RFC 5321 section 3.4"),
    severity="critical",
    advice="Ask the user, and then ask of the other server what was asked of the first: TLS, and its certificate.",
)
def no_automatic_referral(trial: Trial) -> Finding:
    """Look at the server that was named: who connects there, and with what.

    RFC 2221 section 1 wants clients to follow "transparently". So to log in there over TLS, on the word of a server
    that was verified, is a note and no more; the catalogue would have it be asked for as well.
    """
    visits = _visits(trial)
    named_in_clear, named = _named(trial, Layer.CLEAR), _named(trial, Layer.CLEAR) or _named(trial, Layer.TLS)
    if not named and not visits:
        return _never_named(trial)
    where = "the server named another one" + (" before TLS" if named_in_clear else "")
    there = replace(trial, sessions=visits)
    found = leak(there, Layer.CLEAR)
    if found is not None:
        return Finding(found.verdict, f"{where}, and the client went there: {found.evidence}")
    done = operations(there, Layer.CLEAR)
    if done:
        return Finding(Verdict.VIOLATION, f"{where}, and the client went there in clear: {spoken(done)}")
    if visits and named_in_clear:
        return Finding(Verdict.VIOLATION, f"{where}, where anybody may have said so, and the client connected there")
    inside = leak(there, Layer.TLS)
    if inside is not None and inside.verdict is Verdict.ERROR:
        return inside
    if inside is not None:
        return Finding(Verdict.NOTE, f"{where}, and the client logged in there over TLS without asking")
    if visits:
        return Finding(Verdict.NOTE, f"{where}, and the client connected there, without a password")
    host = _host(trial).encode()
    redirected = [c for s in trial.sessions for c in s.commands if c.verb == "RCPT" and host and host in c.argument]
    if redirected:
        return Finding(Verdict.NOTE, f"{where}, and the client wrote to the address that it gave: {spoken(redirected)}")
    return Finding(Verdict.PASS, f"{where}, and the client did not go there")


@rule(
    "token-stays-with-its-host",
    requirement="A token, or a password, that is meant for one host is not sent to another that this one names.",
    expected="The client reports that it was refused, and sends its token nowhere else.",
    sources=("RFC 7628 section 3.1", "RFC 7628 section 3.2.2", "RFC 2221 section 6", "CVE-2022-22576"),
    severity="critical",
    advice="Keep with each token the host that it is for, and send it to no other, whatever a server says.",
)
def token_stays_with_its_host(trial: Trial) -> Finding:
    """Look for the token at the server that was named, in whatever protocol. TLS does not make it the right one."""
    visits = _visits(trial)
    asked = [request for request in trial.requests if request.method is not None]
    if not (_named(trial, Layer.CLEAR) or _named(trial, Layer.TLS) or visits or asked):
        return Finding(Verdict.INCONCLUSIVE, "the server never came to name another one: no token was refused")
    there = replace(trial, sessions=visits)
    for layer in Layer:
        found = leak(there, layer)
        if found is not None:
            return Finding(found.verdict, f"the server named another one, and the client went there: {found.evidence}")
    carried = [request for request in asked if request.carried]
    if carried:
        return Finding(Verdict.VIOLATION, f"the server named a web server, and the client asked it: {carried[0]}")
    if asked:
        return Finding(
            Verdict.NOTE,
            f"the server named a web server without TLS (RFC 7628 section 3.2.2 has it be https), and the client asked "
            f"it: {asked[0]}",
        )
    if visits:
        return Finding(Verdict.NOTE, "the server named another one, and the client connected there, without a token")
    return Finding(Verdict.PASS, "the server named another one, and the client did not go there")


def _visits(trial: Trial) -> tuple[SessionRecord, ...]:
    return tuple(session for session in trial.sessions if session.listener == _LISTENER)


def _host(trial: Trial) -> str:
    """Return the name under which nobody but the named server is known; empty where it shares one with the other."""
    host = trial.decoy.rpartition(":")[0]
    return "" if host == trial.served.host else host


def _named(trial: Trial, layer: Layer) -> bool:
    """Return whether the server under test has named the other one on this layer, with its port or by a name alone."""
    said = [
        session.clear_out if layer is Layer.CLEAR else session.tls_out
        for session in trial.sessions
        if session.listener != _LISTENER
    ]
    names = [name for name in (trial.decoy, _host(trial)) if name]
    return any(find(name, data) for name in names for data in said)


def _never_named(trial: Trial) -> Finding:
    """Say what is proved by a client that never got to a referral: all, where it had to leave before."""
    early = trial.security is Security.STARTTLS
    if early and any(session.clear_out.startswith(b"* PREAUTH") for session in trial.sessions):
        return Finding(Verdict.PASS, "the greeting was PREAUTH before TLS, and the client left before it was referred")
    if any(session.tls_out.startswith(b"* PREAUTH") for session in trial.sessions) and not operations(trial, Layer.TLS):
        return Finding(Verdict.NOT_APPLICABLE, "the session begins logged in, and this client does not use such a one")
    asked = {d.verb for d in trial.served.deviations if isinstance(d, Answer) and d.over_tls}
    said = {command.verb for command in operations(trial, Layer.TLS)}
    if said and asked and not said & asked:
        return Finding(
            Verdict.NOT_APPLICABLE,
            f"the server names another one in the answer to {' or '.join(sorted(asked))}; this client says "
            f"{', '.join(sorted(said))}",
        )
    return Finding(Verdict.INCONCLUSIVE, "the server never came to name another one")
