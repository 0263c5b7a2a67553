"""Rules about who is named in a handshake: the server and the protocol by the client, and who the client is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.rules.evidence import handshakes
from pytest_mailauth.judge.rules.registry import rule
from pytest_mailauth.model.terms import UNTRUSTED_CLIENT, ClientCertificate, Verdict
from pytest_mailauth.model.trial import Finding

if TYPE_CHECKING:
    from pytest_mailauth.model.trial import Trial

_ADDRESS: Final = re.compile(r"[\d.]+|.*:.*")
"""An IPv4 or IPv6 address where a host name may stand."""


@rule(
    "send-sni",
    requirement="The ClientHello names the server as it was configured; no address stands there for a name.",
    expected="The ClientHello has server_name with the configured host, or none where that is an address.",
    sources=("RFC 9325 section 3.7", "RFC 6066 section 3"),
    severity="low",
    advice="Give the TLS library the host name that the user gave (in Python: server_hostname).",
)
def send_sni(trial: Trial) -> Finding:
    """Compare the name in each hello with the host that the client was told.

    RFC 9325 section 3.7 leaves it to local policy whether to send a name at all, so none is a note.
    """
    host = trial.served.host
    hellos = [
        facts.client_hello
        for session in handshakes(trial)
        if session.listener == "main" and (facts := session.tls) is not None and facts.client_hello is not None
    ]
    if not hellos:
        return Finding(Verdict.INCONCLUSIVE, "no complete ClientHello came")
    named = [hello.server_name for hello in hellos if hello.server_name is not None]
    is_address = _ADDRESS.fullmatch(host) is not None
    others = [name for name in named if is_address or name.lower() != host.lower()]
    if others:
        expected = "for an address there must be no name" if is_address else f"it connects to {host}"
        return Finding(Verdict.VIOLATION, f"the ClientHello names {others[0]!r}; {expected}")
    if is_address:
        return Finding(Verdict.PASS, f"connects to {host}, and names no server")
    if len(named) < len(hellos):
        return Finding(Verdict.NOTE, f"the ClientHello does not name {host}: a server of several names has to guess")
    return Finding(Verdict.PASS, f"the ClientHello names {host}")


@rule(
    "client-cert-restraint",
    requirement="A client certificate is shown only where it is asked for, and only for the account it is meant for.",
    expected="Asked for a certificate, the client shows none, since it has none for this account.",
    sources=("RFC 8314 section 5.5",),
    severity="medium",
    advice="Bind a client certificate to the account that its user chose it for; never pick one by itself.",
)
def client_cert_restraint(trial: Trial) -> Finding:
    """Look at the names in what the client showed. A certificate of its own account may be shown."""
    if trial.served.tls.client_certificate is ClientCertificate.NONE:
        return Finding(Verdict.NOT_APPLICABLE, "the server asks for no certificate")
    facts = [found for session in handshakes(trial) if (found := session.tls) is not None]
    own = {trial.account.username, trial.account.address}
    strange = [name for one in facts for name in one.shown if name not in own]
    if strange:
        account = trial.account.username
        return Finding(Verdict.VIOLATION, f"the account is {account}, and the certificate of {strange[0]} was shown")
    if any(one.reason == UNTRUSTED_CLIENT for one in facts):
        return Finding(Verdict.VIOLATION, "the client showed a certificate that is nobody's here")
    if not any(one.version for one in facts):
        return Finding(Verdict.INCONCLUSIVE, "no handshake finished, so nothing shows what the client would have shown")
    shown = any(one.shown for one in facts)
    return Finding(Verdict.PASS, f"asked for a certificate, the client showed {'its own' if shown else 'none'}")


@rule(
    "enforce-alpn",
    requirement="The client names its protocol in the handshake, so that no server of another one can answer it.",
    expected="The ClientHello has the ALPN name of the protocol, imap or pop3.",
    sources=("RFC 9325 section 3.8",),
    severity="low",
    advice="Offer the ALPN name of the protocol (in Python: set_alpn_protocols); leave if another comes back.",
)
def enforce_alpn(trial: Trial) -> Finding:
    """Look for the name in each hello. TLS libraries have to know ALPN; no standard has mail clients use it yet."""
    name = str(trial.protocol)
    hellos = [facts.client_hello for s in handshakes(trial) if (facts := s.tls) is not None and facts.client_hello]
    if not hellos:
        return Finding(Verdict.INCONCLUSIVE, "no complete ClientHello came")
    others = sorted({one for hello in hellos for one in hello.alpn} - {name})
    if others:
        return Finding(Verdict.NOTE, f"the ClientHello offers to speak {', '.join(others)}, on a port for {name}")
    if not all(hello.alpn for hello in hellos):
        return Finding(Verdict.NOTE, f"the ClientHello does not say that the client speaks {name}")
    return Finding(Verdict.PASS, f"the ClientHello says that the client speaks {name}")
