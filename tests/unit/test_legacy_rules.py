"""The rules about obsolete parameters, on records: what was accepted, what was refused, and what shows nothing."""

import pytest
from recorded_trials import ACCOUNT, CLEAR, TLS, recorded

from pytest_mailauth.judge.rules import RULES
from pytest_mailauth.judge.scenarios import SCENARIOS, legacy
from pytest_mailauth.model import events as e
from pytest_mailauth.model.deviations import Negotiate
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.obsolete import FORGED, WENT_ON, Obsolete
from pytest_mailauth.model.terms import NO_COMMON_SUITE, NO_COMMON_VERSION, Certificate, HandshakeOutcome, Verdict

RULE_OF = {
    Obsolete.SSL3: "tls12-or-newer",
    Obsolete.RC4: "no-weak-ciphers",
    Obsolete.TRIPLE_DES: "no-weak-ciphers",
    Obsolete.EXPORT: "no-weak-ciphers",
    Obsolete.DHE_1024: "no-weak-keys",
    Obsolete.SMALL_CURVE: "no-weak-keys",
    Obsolete.NO_RENEGOTIATION_INFO: "secure-renegotiation",
    Obsolete.COMPRESSION: "no-tls-compression",
    Obsolete.DOWNGRADE_MARKER: "no-version-fallback",
}
NEEDED = {Obsolete.SSL3: 0x002F, Obsolete.RC4: 0xC011, Obsolete.TRIPLE_DES: 0x000A, Obsolete.DHE_1024: 0x009E}
USED = {
    Obsolete.SSL3: ("SSL 3.0", "AES128-SHA"),
    Obsolete.RC4: ("1.2", "ECDHE-RSA-RC4-SHA"),
    Obsolete.TRIPLE_DES: ("1.2", "DES-CBC3-SHA"),
    Obsolete.EXPORT: ("1.2", "EXP-RC4-MD5"),
    Obsolete.DHE_1024: ("1.2", "DHE-RSA-AES128-GCM-SHA256"),
}
END = (TLS, e.Closed("client", "close"))
CONTROL = recorded()


def hello(*ciphers, versions=("1.3", "1.2"), **fields):
    return (CLEAR, e.HelloSeen(ClientHello("1.2", versions, ciphers=(0xC02F, 0x00FF, *ciphers), **fields)))


def ended(outcome, **facts):
    return (CLEAR, e.HandshakeEnded(outcome, **facts))


def spoke(verb="EHLO"):
    return [(TLS, e.Received(f"{verb}\r\n".encode())), (TLS, e.Command(verb, b"", verb))]


def judged(what, *facts, control=CONTROL, **served):
    trial = recorded(list(facts), control=control, deviations=(Negotiate(what=what),), **served)
    return RULES[RULE_OF[what]].check(trial)


def accepted(what):
    version, cipher = USED.get(what, ("1.2", "ECDHE-RSA-AES128-GCM-SHA256"))
    if what in FORGED:
        return ended(HandshakeOutcome.SERVER_REFUSED, version=version, cipher=cipher, reason=WENT_ON), END
    return ended(HandshakeOutcome.COMPLETED, version=version, cipher=cipher), *spoke(), END


@pytest.mark.parametrize("what", Obsolete)
def test_who_accepts_it_breaks_the_rule(what):
    finding = judged(what, hello(NEEDED.get(what, 0xC030)), *accepted(what))
    if what is Obsolete.TRIPLE_DES:  # RFC 9325 section 4.1 says SHOULD NOT
        assert (finding.verdict, finding.should) == (Verdict.NOTE, True)
    else:
        assert finding.verdict is Verdict.VIOLATION


@pytest.mark.parametrize("what", [what for what in Obsolete if what not in FORGED])
def test_a_finished_handshake_is_no_use_of_it(what):
    version, cipher = USED.get(what, ("1.2", "ECDHE-RSA-AES128-GCM-SHA256"))
    done = ended(HandshakeOutcome.COMPLETED, version=version, cipher=cipher)
    for said in ([END], [*spoke("QUIT"), END]):
        assert judged(what, hello(), done, *said).verdict is Verdict.PASS
    assert judged(what, hello(), done).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("what", Obsolete)
@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        ({"outcome": HandshakeOutcome.CLIENT_ALERT, "alert": "illegal_parameter"}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.CLIENT_ALERT, "alert": "unknown_ca"}, Verdict.INCONCLUSIVE),
        ({"outcome": HandshakeOutcome.CLIENT_LEFT_DURING}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": NO_COMMON_VERSION}, Verdict.PASS),
        ({"outcome": HandshakeOutcome.SERVER_REFUSED, "reason": "something else"}, Verdict.INCONCLUSIVE),
        ({"outcome": HandshakeOutcome.NOT_TLS}, Verdict.INCONCLUSIVE),
    ],
)
def test_only_a_refusal_of_it_is_one(what, how, verdict):
    assert judged(what, hello(), ended(**how), END).verdict is verdict


@pytest.mark.parametrize("what", Obsolete)
def test_who_left_without_a_word_may_have_left_over_the_certificate(what):
    left = ended(HandshakeOutcome.CLIENT_LEFT_DURING)
    assert judged(what, hello(), left, END, control=None).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("what", NEEDED)
def test_a_missing_suite_is_a_refusal_only_of_who_offers_none(what):
    refused = ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE)
    assert judged(what, hello(), refused, END).verdict is Verdict.PASS
    assert judged(what, hello(NEEDED[what]), refused, END).verdict is Verdict.INCONCLUSIVE


def test_a_missing_suite_says_nothing_where_suites_do_not_matter():
    refused = ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE)
    assert judged(Obsolete.NO_RENEGOTIATION_INFO, hello(), refused, END).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("what", Obsolete)
def test_nothing_begun_shows_nothing(what):
    assert judged(what).verdict is Verdict.INCONCLUSIVE
    assert judged(what, hello()).verdict is Verdict.INCONCLUSIVE


def test_what_the_host_refuses_is_no_obedience():
    what = Obsolete.DHE_1024
    relaxed = recorded([hello(0x009E), *accepted(what)], deviations=(Negotiate(what=what),))
    refused = ended(HandshakeOutcome.CLIENT_ALERT, alert="handshake_failure")
    finding = judged(what, hello(0x009E), refused, END, control=relaxed)
    assert finding.verdict is Verdict.NOTE
    assert "by this host" in finding.evidence


@pytest.mark.parametrize("name", ["no-weak-keys", "secure-renegotiation", "no-tls-compression"])
def test_an_honest_server_is_no_case(name):
    done = ended(HandshakeOutcome.COMPLETED, version="1.3", cipher="TLS_AES_128_GCM_SHA256")
    assert RULES[name].check(recorded([hello(), done, *spoke(), END])).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("shows", "verdict"),
    [
        ({"ciphers": (0xC02F,)}, Verdict.VIOLATION),
        ({"ciphers": (0xC02F, 0x00FF)}, Verdict.PASS),
        ({"ciphers": (0xC02F,), "extensions": (0xFF01,)}, Verdict.PASS),
        ({"ciphers": (0x1301,), "versions": ("1.3",)}, Verdict.PASS),
        ({"ciphers": (0xC02F,), "versions": ()}, Verdict.VIOLATION),
    ],
)
def test_who_speaks_tls_1_2_asks_for_secure_renegotiation(shows, verdict):
    offer = {"versions": ("1.3", "1.2"), **shows}
    refused = ended(HandshakeOutcome.CLIENT_ALERT, alert="handshake_failure")
    facts = ((CLEAR, e.HelloSeen(ClientHello("1.2", **offer))), refused, END)
    assert judged(Obsolete.NO_RENEGOTIATION_INFO, *facts).verdict is verdict


@pytest.mark.parametrize(
    ("versions", "compression", "took", "verdict", "should"),
    [
        (("1.3", "1.2"), (0,), False, Verdict.PASS, False),
        (("1.3", "1.2"), (0,), True, Verdict.VIOLATION, False),
        (("1.3", "1.2"), (1, 0), False, Verdict.VIOLATION, False),
        ((), (1, 0), False, Verdict.NOTE, True),
        ((), (1, 0), True, Verdict.NOTE, True),
    ],
)
def test_compression_is_neither_offered_nor_taken(versions, compression, took, verdict, should):
    done = accepted(Obsolete.COMPRESSION) if took else (ended(HandshakeOutcome.CLIENT_ALERT, alert="decode_error"), END)
    finding = judged(Obsolete.COMPRESSION, hello(versions=versions, compression=compression), *done)
    assert (finding.verdict, finding.should) == (verdict, should)


def test_who_speaks_no_tls_1_3_is_not_led_down():
    facts = hello(versions=()), *accepted(Obsolete.DOWNGRADE_MARKER)
    assert judged(Obsolete.DOWNGRADE_MARKER, *facts).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("certificate", [Certificate.WEAK_KEY, Certificate.SHA1])
def test_a_weak_certificate_is_advice(certificate):
    rule = RULES["no-weak-keys"].check
    done = ended(HandshakeOutcome.COMPLETED, version="1.2", cipher="ECDHE-RSA-AES128-GCM-SHA256")
    secret = ACCOUNT.secrets["password"]
    login = [(TLS, e.Received(secret.encode())), (TLS, e.Authentication("PLAIN", "alice", secret, accepted=True))]
    finding = rule(recorded([hello(), done, *login, END], certificate=certificate))
    assert (finding.verdict, finding.should) == (Verdict.NOTE, True)
    mail = (TLS, e.Command("MAIL", b"FROM:<a@b.test>", "MAIL FROM:<a@b.test>"))
    assert rule(recorded([hello(), done, mail, END], certificate=certificate)).verdict is Verdict.NOTE
    refused = ended(HandshakeOutcome.CLIENT_ALERT, alert="bad_certificate")
    assert rule(recorded([hello(), refused, END], certificate=certificate)).verdict is Verdict.PASS
    assert rule(recorded([hello(), done, *spoke("QUIT"), END], certificate=certificate)).verdict is Verdict.PASS
    broken = ended(HandshakeOutcome.SERVER_REFUSED, reason=NO_COMMON_SUITE)
    assert rule(recorded([hello(), broken, END], certificate=certificate)).verdict is Verdict.INCONCLUSIVE
    assert rule(recorded(certificate=certificate)).verdict is Verdict.INCONCLUSIVE


def test_a_contradiction_of_ours_is_no_advice():
    # The parser saw the password, and the search of the bytes does not.
    done = ended(HandshakeOutcome.COMPLETED, version="1.2", cipher="ECDHE-RSA-AES128-GCM-SHA256")
    login = (TLS, e.Authentication("PLAIN", "alice", ACCOUNT.secrets["password"], accepted=True))
    trial = recorded([hello(), done, *spoke(), login, END], certificate=Certificate.SHA1)
    assert RULES["no-weak-keys"].check(trial).verdict is Verdict.ERROR


def test_every_obsolete_parameter_has_its_scenario():
    served = {
        row.name: deviation.what
        for row in legacy.ROWS
        for deviation in row.deviations("smtp", 1.0)
        if SCENARIOS[row.name] is row
    }
    assert sorted(served.values()) == sorted(Obsolete)
    assert {name: SCENARIOS[name].rules for name in served} == {name: (RULE_OF[what],) for name, what in served.items()}
