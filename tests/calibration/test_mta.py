"""A mail transfer agent is judged by the policies that it reads, and by nothing that it is free to do."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from types import SimpleNamespace

import pytest
import trustme
from clients import Faults, Habits, OperationFailed, TLSFailed, make_client
from clients.relaying import Duty, check_records, duty_of
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from trying import tried, verdicts_of

from pytest_mailauth.judge.scenarios import SCENARIOS
from pytest_mailauth.model.terms import Protocol, Verdict

PASS, VIOLATION, NOT_APPLICABLE = Verdict.PASS, Verdict.VIOLATION, Verdict.NOT_APPLICABLE
ABOUT = ["base-opportunistic-setup", *(name for name, row in SCENARIOS.items() if row.needs.get("role") == "mta")]
HONEST = Habits(has_credentials=False, relays=True)


def verdicts(run, policy="no", select=ABOUT):
    return verdicts_of(tried(run, select, role="mta", auth="none", mta_policy=policy))


def smtplib_relay(case):
    """Deliver with the standard library as careless agents do: no policy, any certificate, and clear if need be."""
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as smtp:
        smtp.ehlo()
        if smtp.has_extn("starttls"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            smtp.starttls(context=context)
        refused = smtp.sendmail(case.sender, case.recipients, b"Subject: x\r\n\r\nHello\r\n")
    if refused:
        raise RuntimeError(f"not sent to {', '.join(refused)}")


def refuses_everybody(case):
    case.report(policy=(case.sts_policy, case.tlsa, case.requires_tls))
    with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as smtp:
        smtp.ehlo()
    raise RuntimeError("mail is not what it was")


@pytest.mark.parametrize("policy", ["no", "mta-sts", "dane", "requiretls"])
def test_an_agent_without_policies_is_accused_of_nothing(policy):
    # It never reads one: what it was not told it cannot have ignored, and nobody says that it obeyed.
    found = verdicts(smtplib_relay, policy)
    free = {"base-opportunistic-setup", "mta-opportunistic-strip", "mta-opportunistic-untrusted-cert"}
    assert {name for name, verdict in found.items() if verdict is PASS} == free | {"local-recipient-without-auth"}
    assert {verdict for name, verdict in found.items() if name not in free} <= {PASS, NOT_APPLICABLE}
    assert (NOT_APPLICABLE in found.values()) == (policy != "no")


def test_who_delivers_to_nobody_does_not_obey():
    (verdict,) = verdicts(refuses_everybody, "dane", ["dane-mismatch"]).values()
    assert verdict is Verdict.ERROR  # its control is not green


def test_who_uses_no_record_is_not_held_for_obedient():
    # Without STARTTLS it delivers to nobody, but it does not deliver where the record matches, either.
    run = make_client(Protocol.SMTP, Faults(wants_tls_of_everybody=True, ignores_tlsa=True), HONEST)
    found = verdicts(run, "dane", ["dane-match", "dane-mandatory-strip"])
    assert found == dict.fromkeys(("dane-match", "dane-mandatory-strip"), Verdict.INCONCLUSIVE)


def test_an_agent_that_stays_in_clear_where_there_is_tls_is_noticed():
    def stays_in_clear(case):
        with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as smtp:
            smtp.sendmail(case.sender, case.recipients, b"Subject: x\r\n\r\nHello\r\n")

    def once_inside(case, seen=[]):  # noqa: B006 - what it has seen before
        seen.append(case)
        return smtplib_relay(case) if len(seen) == 1 else stays_in_clear(case)

    assert verdicts(once_inside, select=["base-opportunistic-setup"])["base-opportunistic-setup"] is VIOLATION


@pytest.mark.parametrize(
    ("pattern", "host", "is_listed"),
    [
        ("mx.example.test", "MX.example.test", True),
        ("*.example.test", "mx.example.test", True),
        ("*.example.test", "a.mx.example.test", False),
        ("*.example.test", "example.test", False),
        ("example.test", "mx.example.test", False),
    ],
)
def test_the_reference_agent_reads_patterns_as_they_are_meant(pattern, host, is_listed):
    policy = f"version: STSv1\nmode: enforce\nmx: {pattern}\nmax_age: 1\n"
    case = SimpleNamespace(sts_policy=policy, tlsa=(), requires_tls=False)
    if is_listed:
        assert duty_of(case, host, Faults(), HONEST) == Duty(allows_clear=False, verifies=True)
    else:
        with pytest.raises(OperationFailed, match="does not list"):
            duty_of(case, host, Faults(), HONEST)


@pytest.mark.parametrize("selector", ["0", "1"])
@pytest.mark.parametrize("matching", ["0", "1", "2"])
def test_the_reference_agent_reads_records_as_they_are_meant(selector, matching):
    certificate = x509.load_pem_x509_certificate(trustme.CA().issue_cert("mx.example.test").cert_chain_pems[0].bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    part = certificate.public_bytes(Encoding.DER) if selector == "0" else key
    data = {"0": part, "1": hashlib.sha256(part).digest(), "2": hashlib.sha512(part).digest()}[matching].hex()
    shown = SimpleNamespace(getpeercert=lambda **_: certificate.public_bytes(Encoding.DER))
    check_records(Duty(tlsa=("3 0 1 " + 64 * "0", f"3 {selector} {matching} {data[:8]} {data[8:].upper()}")), shown)
    for other in (f"1 {selector} {matching} {data}", f"3 {selector} {matching} 00{data[2:]}"):
        with pytest.raises(TLSFailed, match="no TLSA record matches"):
            check_records(Duty(tlsa=(other,)), shown)
