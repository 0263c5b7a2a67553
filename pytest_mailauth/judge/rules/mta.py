"""The rule about mail transfer agents: they keep what a domain or a message asks of their TLS, and ask for no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import connected, handshakes, spoken
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model import events as e
from pytest_mailauth.model.relay import REQUIRETLS
from pytest_mailauth.model.reports import WORK
from pytest_mailauth.model.terms import Layer, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_POLICIES: Final = {
    "sts_policy": "the domain has an MTA-STS policy of mode enforce",
    "tlsa": "the host has a TLSA record",
    "requires_tls": "the message is marked REQUIRETLS",
}
"""What may bind an MTA, by the name under which it is told, each as the beginning of a sentence."""
_ENFORCE: Final = "mode: enforce\r\n"
_LISTS_HOST: Final = "mx: {host}\r\n"
"""Lines of a policy as a scenario has it: the name of the host is filled in for each trial."""
_DELIVERY: Final = ("MAIL", "RCPT", "DATA", "BDAT")


@rule(
    "mta-policy-honoured",
    requirement="An MTA does not deliver where an MTA-STS policy, a TLSA record or REQUIRETLS forbids it.",
    expected="The client sends no MAIL to a server that is not as the policy says, and keeps the message.",
    sources=("RFC 8461 section 5", "RFC 7672 section 2.2", "RFC 8689 section 4.2.1"),
    severity="high",
    advice="Ask for the policies before MAIL: STARTTLS, the certificate or the TLSA record, the MX host, REQUIRETLS.",
)
def mta_policy_honoured(trial: Trial) -> Finding:
    """Look for a delivery where there must be none, and for one where nothing forbids it."""
    if trial.declared.role != "mta":
        return Finding(Verdict.NOT_APPLICABLE, "this client was not declared a mail transfer agent")
    told = next((name for name in _POLICIES if name in trial.tells), None)
    if told is None or (told == "sts_policy" and _ENFORCE not in trial.tells[told]):
        return _free(trial)
    if told in trial.unheard:
        return Finding(Verdict.NOT_APPLICABLE, f"this is for a client that {WORK[told]}; this one never read it")
    return _bound(trial, told)


def _free(trial: Trial) -> Finding:
    """Nothing binds the client: it may deliver as it can, and loses mail for nothing if it does not."""
    layers = [layer for layer in Layer if any(session.of(e.Stored, layer) for session in trial.sessions)]
    if layers:
        where = "in clear" if layers[0] is Layer.CLEAR else "inside TLS"
        return Finding(Verdict.PASS, f"no policy binds the client here, and it delivered {where}")
    if not any(session.of(e.Command) for session in trial.sessions):
        return Finding(Verdict.INCONCLUSIVE, "the client said nothing to the server")
    return Finding(
        Verdict.NOTE,
        "no policy binds the client here, and it did not deliver: public servers need not do more",
    )


def _bound(trial: Trial, told: str) -> Finding:
    because = _POLICIES[told]
    commands = [(layer, c) for s in trial.sessions for layer in Layer for c in s.of(e.Command, layer)]
    sent = [c for _, c in commands if c.verb in _DELIVERY]
    stored = any(session.of(e.Stored) for session in trial.sessions)
    marked = [c for c in sent if c.verb == "MAIL" and REQUIRETLS.encode() in c.argument.upper().split()]
    if told == "requires_tls" and marked and not stored:
        return Finding(
            Verdict.NOTE, f"{because}; the client asked for that with {spoken(marked)}, though it is not offered"
        )
    if sent:
        where = (
            "in clear" if any(layer is Layer.CLEAR and c.verb in _DELIVERY for layer, c in commands) else "inside TLS"
        )
        return Finding(Verdict.VIOLATION, f"{because}, which forbids it, and {where} the client sent {spoken(sent)}")
    if trial.control is None or not any(session.of(e.Stored, Layer.TLS) for session in trial.control.sessions):
        return Finding(
            Verdict.INCONCLUSIVE, f"{because}; the client does not deliver to a server that is as it has to be, either"
        )
    is_listed = told != "sts_policy" or _LISTS_HOST in trial.tells[told]
    if is_listed and not connected(trial):
        return Finding(Verdict.INCONCLUSIVE, f"{because}; the client never connected")
    offers = any(b"STARTTLS" in session.clear_out.upper() for session in trial.sessions)
    if is_listed and offers and not handshakes(trial):
        return Finding(Verdict.INCONCLUSIVE, f"{because}; the client left before it could see how good TLS is here")
    if is_listed and not commands:
        return Finding(Verdict.INCONCLUSIVE, f"{because}; the client said nothing to the server")
    return Finding(Verdict.PASS, f"{because}, and the client did not deliver; to a server that is as it asks it does")
