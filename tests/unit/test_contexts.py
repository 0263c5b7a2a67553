import contextlib
import ssl
import threading
import warnings

import pytest

from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.errors import CannotServe, ConfigError
from pytest_mailauth.model.hello import ClientHello
from pytest_mailauth.model.terms import TLS_VERSIONS, Certificate
from pytest_mailauth.servers.pki import CertificateAuthority
from pytest_mailauth.servers.wire import contexts
from pytest_mailauth.servers.wire.contexts import probe, servable_versions, server_context, shake_hands
from pytest_mailauth.servers.wire.hello import HelloParser

DEFAULT = TLSPolicy()


@pytest.fixture(scope="module")
def ca():
    with CertificateAuthority() as authority:
        yield authority


def serve(ca, certificate="valid", host="localhost", **policy):
    return server_context(TLSPolicy(**policy), certificate, ca, host)


def host_for(kind):
    """Return a host that can stand in a certificate of this kind."""
    return "127.0.0.1" if kind in ("ip-only", "ip-in-dns-name") else "mail.example.test"


def careless(minimum="1.0", maximum="1.3", ciphers="ALL:COMPLEMENTOFALL"):
    """A client that accepts whatever OpenSSL can do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    contexts._set_versions(context, contexts.VERSIONS[minimum], contexts.VERSIONS[maximum])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return context


def connect(client, server, session=None):
    """Run one whole connection, closed politely by both, and return the client's end."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    with pytest.raises(ssl.SSLWantReadError):
        theirs.do_handshake()
    flight = to_server.read()
    to_server.write(flight)
    if isinstance(server, contexts.ServerContext):
        parser = HelloParser()
        parser.feed(flight)
        server = server.facing(parser.hello)
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    ours.write(b"220 ready\r\n")
    assert theirs.read(20) == b"220 ready\r\n"
    for side in (theirs, ours, theirs):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.unwrap()
    return theirs


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_single_version_is_negotiated_exactly(ca, version):
    server = serve(ca, min_version=version, max_version=version)
    assert contexts.NEGOTIATED[shake_hands(careless(), server)] == version


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_default_client_is_refused_by_an_old_server(ca, version):
    with pytest.raises(ssl.SSLError, match="PROTOCOL"):
        shake_hands(ca.ssl_context(), serve(ca, max_version=version), "localhost")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_old_client_is_refused_by_a_default_server(ca, version):
    with pytest.raises(ssl.SSLError):
        shake_hands(careless(version, version), serve(ca))


@pytest.mark.parametrize("version", TLS_VERSIONS)
def test_a_range_serves_each_version_in_it(ca, version):
    assert contexts.NEGOTIATED[shake_hands(careless(version, version), serve(ca, min_version="1.0"))] == version


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_verifying_client_is_served_well(ca, version):
    assert connect(ca.ssl_context(), serve(ca, max_version=version)).version() == f"TLSv{version}"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_old_server_prefers_static_rsa_and_has_ecdhe_too(ca, version):
    server = serve(ca, max_version=version)
    assert connect(careless(), server).cipher()[0] == "AES128-SHA"
    assert connect(careless(ciphers="ALL:!kRSA"), server).cipher()[0].startswith("ECDHE-RSA")


@pytest.mark.parametrize("kind", ["weak-key", "sha1"])
def test_a_weak_certificate_changes_no_cipher(ca, kind):
    assert [c["name"] for c in serve(ca, kind).get_ciphers()] == [c["name"] for c in serve(ca).get_ciphers()]


@pytest.mark.parametrize("kind", Certificate)
@pytest.mark.parametrize("policy", [DEFAULT, TLSPolicy(max_version="1.0")], ids=["default", "old"])
def test_every_certificate_can_be_served_old_and_new(ca, kind, policy):
    probe(server_context(policy, kind, ca, host_for(kind)), policy)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_no_client_can_resume_a_session(ca, version):
    client, server = ca.ssl_context(), serve(ca, max_version=version)
    first = connect(client, server)
    assert not first.session.has_ticket
    second = connect(client, server, first.session)
    assert second.session_reused is False
    assert connect(client, server, second.session).session_reused is False


def test_a_client_of_tls_1_2_can_not_resume_on_a_server_of_both(ca):
    client, server = ca.ssl_context(), serve(ca)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = connect(client, server)
    assert first.version() == "TLSv1.2"
    assert connect(client, server, first.session).session_reused is False


def test_without_precaution_it_could(ca):
    # The control of the two tests before: OpenSSL remembers, and the clients of these tests do ask.
    client, server = ca.ssl_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.options |= ssl.OP_NO_TICKET
    ca.issue().configure(server)
    assert connect(client, server, connect(client, server).session).session_reused is True


@pytest.mark.parametrize(
    ("policy", "versions", "session_id", "own"),
    [
        ({}, ("1.3", "1.2"), 32, False),
        ({}, ("1.2",), 32, True),
        ({}, (), 32, True),
        ({}, (), 0, False),
        ({"max_version": "1.2"}, ("1.3", "1.2"), 32, True),
        ({"max_version": "1.2"}, ("1.3", "1.2"), 0, False),
        ({"max_version": "1.3"}, ("1.3", "1.2"), 32, False),
        ({"max_version": "1.0"}, (), 32, True),
    ],
)
def test_who_asks_to_resume_gets_a_context_of_its_own(ca, policy, versions, session_id, own):
    server = serve(ca, **policy)
    hello = ClientHello("1.2", versions, raw=bytes(38) + bytes((session_id,)) + bytes(session_id))
    assert (server.facing(hello) is not server) is own


def test_a_hello_without_its_bytes_is_no_question(ca):
    server = serve(ca)
    assert server.facing(ClientHello("1.2", sslv2=True)) is server


def test_the_same_question_gets_the_same_context(ca):
    server = serve(ca)
    assert serve(ca, Certificate.VALID) is server
    others = [
        serve(ca, "expired"),
        serve(ca, host="mail.example.test"),
        serve(ca, max_version="1.2"),
        serve(CertificateAuthority()),
    ]
    assert len({id(context) for context in (server, *others)}) == 5


def test_threads_that_ask_at_once_get_the_same_context():
    ca = CertificateAuthority()
    start = threading.Barrier(6)
    got = []

    def ask():
        start.wait(5)
        got.append(serve(ca, "expired"))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(got) == 6
    assert len(set(map(id, got))) == 1


def test_old_versions_warn_nobody_and_touch_no_filter(ca):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters, content = warnings.filters, list(warnings.filters)
        server = serve(ca, max_version="1.1").again()
        probe(server, TLSPolicy(max_version="1.1"))
        assert warnings.filters is filters
        assert warnings.filters == content
        # The control: elsewhere the same assignment does warn.
        with pytest.raises(DeprecationWarning):
            server.maximum_version = ssl.TLSVersion.TLSv1


@pytest.mark.parametrize(
    ("ciphers", "negotiated"),
    [
        ("AES256-SHA", "AES256-SHA"),
        ("NULL-SHA256", "NULL-SHA256"),
        ("AECDH-NULL-SHA", "AECDH-NULL-SHA"),
        ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA"),
        ("ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256"),
    ],
)
def test_named_ciphers_are_served_however_weak(ca, ciphers, negotiated):
    policy = TLSPolicy(ciphers=ciphers, max_version="1.2")
    server = server_context(policy, "valid", ca, "localhost")
    probe(server, policy)
    assert connect(careless(), server).cipher()[0] == negotiated


@pytest.mark.parametrize("ciphers", ["", "AES128-SHAA", "TLS_AES_128_GCM_SHA256", "AES128-SHA\0"])
def test_ciphers_that_mean_nothing_are_the_users_mistake(ca, ciphers):
    with pytest.raises(ConfigError, match=r"selects no cipher in OpenSSL [^;]*; (use an|did you mean 'AES128')"):
        serve(ca, ciphers=ciphers)


@pytest.mark.parametrize(
    ("ciphers", "problem"),
    [
        ("AES128-SHA:RC4-SHA", "does not have the cipher 'RC4-SHA'"),
        ("AES128-SHA:ECDH-RSA-AES128-SHA", "does not have the cipher 'ECDH-RSA-AES128-SHA'"),
        ("DHE-RSA-AES128-GCM-SHA256:AES128-SHA", "can't serve DHE-RSA-AES128-GCM-SHA256 as asked: [A-Z_]+$"),
        ("AES128-SHA, PSK-AES128-CBC-SHA", "can't serve PSK-AES128-CBC-SHA as asked: [A-Z_]+$"),
    ],
)
def test_no_suite_that_is_named_is_dropped_silently(ca, ciphers, problem):
    policy = TLSPolicy(ciphers=ciphers)
    with pytest.raises(CannotServe, match=problem):
        probe(server_context(policy, "valid", ca, "localhost"), policy)


def test_a_suite_of_a_newer_version_can_not_be_served(ca):
    policy = TLSPolicy(max_version="1.0", ciphers="AES128-SHA:AES128-GCM-SHA256")
    with pytest.raises(CannotServe, match="AES128-GCM-SHA256"):
        probe(server_context(policy, "valid", ca, "localhost"), policy)


@pytest.mark.parametrize("ciphers", ["AES128-SHA:TYPO-SHA", "AES128-SHA TLS_AES_128_GCM_SHA256", "HIGH;AES127-SHA"])
def test_a_name_that_openssl_does_not_know_is_the_users_mistake(ca, ciphers):
    with pytest.raises(ConfigError, match=r"'(TYPO-SHA|TLS_AES_128_GCM_SHA256|AES127-SHA)' selects no cipher"):
        serve(ca, ciphers=ciphers)


@pytest.mark.parametrize(
    ("ciphers", "message"),
    [
        ("HIHG", "'HIHG' selects no cipher in OpenSSL [^;]*; did you mean 'HIGH'"),
        ("ECDHE+AESGCM:HIHG", "'HIHG' selects no cipher"),
        ("ECDHE+AESGMC:AES128-SHA", "'AESGMC' selects no cipher in OpenSSL [^;]*; did you mean 'AESGCM'"),
        ("HIGH:!MD55", "'MD55' selects no cipher in OpenSSL [^;]*; did you mean 'MD5'"),
        ("high", "'high' selects no cipher in OpenSSL [^;]*; did you mean 'HIGH'"),
        ("HIGH:strong@SECLEVEL=1", r"'strong' selects no cipher in OpenSSL [^;]*; openssl-ciphers\(1\) lists"),
    ],
)
def test_a_keyword_that_is_misspelt_is_not_passed_over(ca, ciphers, message):
    with pytest.raises(ConfigError, match=message):
        serve(ca, ciphers=ciphers)


def test_a_server_with_misspelt_ciphers_is_not_started(mailauth):
    with pytest.raises(ConfigError, match="did you mean 'HIGH'"):
        mailauth.imap(tls=TLSPolicy(ciphers="ECDHE:HIHG"))
    assert mailauth.servers == ()


@pytest.mark.parametrize(
    "ciphers",
    [
        "ECDHE+AESGCM",
        "HIGH:!RC4:!EXP:!LOW:!IDEA:!SSLv2:!kECDHr:!aGOST",
        "DEFAULT@SECLEVEL=0",
        "AESGCM+ECDHE, HIGH;+AES",
        "DEFAULT:@SECLEVEL=0",
        "HIGH:MEDIUM:!RC4:!MD5:-PSK",
        "AES128-SHA:AES256-SHA:!AES256",
        "AES128-SHA:+AES256-SHA:!TYPO-SHA",
        "aNULL",
        "NULL-SHA256",
    ],
)
def test_keywords_and_what_a_list_takes_out_are_no_claims(ca, ciphers):
    policy = TLSPolicy(ciphers=ciphers)
    probe(server_context(policy, "valid", ca, "localhost"), policy)


@pytest.mark.parametrize("first", ["ECDSA", "RSA"])
def test_each_suite_meets_the_key_it_needs(ca, first):
    suites = sorted((f"ECDHE-{key}-AES128-GCM-SHA256" for key in ("ECDSA", "RSA")), key=lambda name: first not in name)
    policy = TLSPolicy(max_version="1.2", ciphers=":".join(suites))
    server = server_context(policy, "valid", ca, "localhost")
    probe(server, policy)
    for suite in suites:
        assert connect(careless(ciphers=suite), server).cipher()[0] == suite
    assert connect(careless(), server).cipher()[0] == suites[0]


@pytest.mark.parametrize("key", ["ECDSA", "RSA"])
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_client_with_suites_for_one_key_alone_is_served(ca, key, version):
    # Refused for want of a suite, it would look like a client that refuses the version. DHE can't be served here, and
    # the suites of newer versions that this client has as well are none for an old server.
    suites = f"DHE-RSA-AES128-SHA:ECDHE-{key}-AES256-GCM-SHA384:ECDHE-{key}-AES128-SHA"
    served = connect(careless(ciphers=suites), serve(ca, max_version=version))
    assert served.version() == ("TLSv1" if version == "1.0" else f"TLSv{version}")
    assert f"-{key}-" in served.cipher()[0]


@pytest.mark.parametrize("kind", Certificate)
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_every_certificate_can_be_shown_with_either_key(ca, kind, key):
    for policy in ({}, {"max_version": "1.0"}):
        assert shake_hands(careless(), serve(ca, kind, host_for(kind), **policy).with_key(key))


def test_where_no_such_key_can_be_shown_the_client_is_refused(monkeypatch):
    server = serve(CertificateAuthority(), max_version="1.2")

    def refuse(_key_type):
        raise CannotServe("the host's policy")

    monkeypatch.setattr(server, "with_key", refuse)
    assert server.facing(ClientHello("1.2", ciphers=(0xC02F,))) is server


def test_a_weak_key_is_the_only_one(ca):
    server = serve(ca, "weak-key", max_version="1.2")
    assert server.with_key("rsa") is server.with_key("ec") is server


def test_ciphers_that_openssl_gave_up_are_nobodys_fault(ca):
    with pytest.raises(CannotServe, match="EXP-DES-CBC-SHA"):
        serve(ca, ciphers="EXP-DES-CBC-SHA")


def test_a_level_that_the_user_names_is_kept(ca):
    with pytest.raises(CannotServe, match="weak-key for localhost"):
        serve(ca, "weak-key", ciphers="ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=2")


def test_a_policy_that_openssl_can_not_carry_out_is_found_by_the_proof(ca):
    policy = TLSPolicy(max_version="1.0", ciphers="AES128-SHA:@SECLEVEL=2")
    server = server_context(policy, "valid", ca, "localhost")
    with pytest.raises(CannotServe, match=r"TLS 1\.0 as asked: [A-Z_]+"):
        probe(server, policy)


@pytest.mark.parametrize(
    "policy",
    [
        TLSPolicy(min_version="1.0"),
        TLSPolicy(max_version="1.1"),
        TLSPolicy(min_version="1.3"),
        TLSPolicy(client_certificate="optional"),
        TLSPolicy(client_certificate="required"),
        TLSPolicy(client_certificate="required", max_version="1.0"),
    ],
)
def test_what_can_be_served_is_proved(ca, policy):
    probe(server_context(policy, "valid", ca, "localhost"), policy)


def test_a_proof_is_made_once(ca, monkeypatch):
    works, fails = TLSPolicy(max_version="1.2"), TLSPolicy(max_version="1.2", ciphers="PSK-AES128-CBC-SHA")
    for policy in (works, fails):
        server_context(policy, "valid", ca, "localhost").proofs.clear()
    calls = []

    def counting(*arguments):
        calls.append(arguments)
        return shake_hands(*arguments)

    monkeypatch.setattr(contexts, "shake_hands", counting)
    for _ in range(2):
        probe(server_context(works, "valid", ca, "localhost"), works)
        with pytest.raises(CannotServe, match="NO_SHARED_CIPHER"):
            probe(server_context(fails, "valid", ca, "localhost"), fails)
    assert len(calls) == 2


def test_a_handshake_in_another_version_proves_nothing(ca, monkeypatch):
    policy = TLSPolicy(max_version="1.1")
    server = server_context(policy, "valid", ca, "localhost").again()
    monkeypatch.setattr(contexts, "shake_hands", lambda *_: "TLSv1.2")
    with pytest.raises(CannotServe, match=r"TLS 1\.1 and negotiated 1\.2"):
        probe(server, policy)


@pytest.mark.parametrize(
    ("setting", "without", "stranger"), [("none", True, True), ("optional", True, False), ("required", False, False)]
)
def test_client_certificates_are_asked_for_and_verified(ca, setting, without, stranger):
    server = serve(ca, client_certificate=setting)

    def is_served(issuer):
        client = ca.ssl_context()
        if issuer:
            issuer.issue_client("alice").configure(client)
        try:
            return bool(shake_hands(client, server, "localhost"))
        except ssl.SSLError:
            return False

    assert is_served(ca)
    assert is_served(None) is without
    assert is_served(CertificateAuthority()) is stranger


def test_the_versions_of_this_host_are_proved_and_in_order(ca):
    served = servable_versions(ca)
    assert served == tuple(version for version in TLS_VERSIONS if version in served)
    assert served[-2:] == ("1.2", "1.3")


def test_a_version_that_fails_its_proof_is_not_listed(monkeypatch):
    def hardened(client, server):
        if client.maximum_version < ssl.TLSVersion.TLSv1_2:
            raise ssl.SSLError("no protocols available")
        return shake_hands(client, server)

    monkeypatch.setattr(contexts, "shake_hands", hardened)
    assert servable_versions(CertificateAuthority()) == ("1.2", "1.3")
