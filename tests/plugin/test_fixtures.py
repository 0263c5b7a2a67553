"""The fixtures and the marker, as a user's suite meets them."""

from __future__ import annotations

import pytest

SEND = """
import smtplib

def send(server, *, context=None):
    implicit = server.security == "implicit"
    common = dict(host=server.host, port=server.port, timeout=5)
    with smtplib.SMTP_SSL(context=context, **common) if implicit else smtplib.SMTP(**common) as client:
        if server.security == "starttls":
            client.starttls(context=context)
        client.login(server.account.username, server.account.password)
        client.sendmail("app@example.test", [server.account.address], "Subject: Welcome\\r\\n\\r\\nHello")
"""


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(mail=SEND)

    def run(source, *args):
        pytester.makepyfile(source)
        return pytester.runpytest("-W", "error", "--strict-markers", "-p", "no:randomly", "-p", "no:asyncio", *args)

    return run


def test_a_ready_server_takes_a_message_and_the_rules_are_obeyed(suite):
    suite(
        """
        from mail import send
        from pytest_mailauth import assert_no_cleartext_credentials, assert_obeys, assert_tls

        def test_welcome(mailauth_smtp):
            send(mailauth_smtp, context=mailauth_smtp.ssl_context())
            assert [m.subject for m in mailauth_smtp.messages] == ["Welcome"]
            assert mailauth_smtp.sessions[0].tls.version == "1.3"
            assert_obeys(mailauth_smtp)
            assert_tls(mailauth_smtp)
            assert_no_cleartext_credentials(mailauth_smtp)
        """
    ).assert_outcomes(passed=1)


def test_what_is_sent_over_smtp_is_read_over_pop3_and_imap(suite):
    suite(
        """
        import imaplib, poplib
        from mail import send

        def test_round_trip(mailauth_smtp, mailauth_pop3, mailauth_imap):
            send(mailauth_smtp, context=mailauth_smtp.ssl_context())
            account = mailauth_smtp.account
            pop3 = poplib.POP3(mailauth_pop3.host, mailauth_pop3.port, timeout=5)
            pop3.stls(context=mailauth_pop3.ssl_context())
            pop3.user(account.username)
            pop3.pass_(account.password)
            assert b"Subject: Welcome" in pop3.retr(1)[1]
            pop3.quit()
            imap = imaplib.IMAP4(mailauth_imap.host, mailauth_imap.port, timeout=5)
            imap.starttls(mailauth_imap.ssl_context())
            imap.login(account.username, account.password)
            imap.select()
            assert imap.search(None, "SUBJECT", "Welcome") == ("OK", [b"1"])
            imap.logout()
        """
    ).assert_outcomes(passed=1)


def test_the_marker_sets_up_the_servers_and_the_closest_one_wins(suite):
    suite(
        """
        import pytest, ssl
        from mail import send
        from pytest_mailauth import TLSPolicy, assert_not_authenticated

        pytestmark = pytest.mark.mailauth(security="implicit", certificate="self-signed")

        @pytest.mark.mailauth(certificate="expired")
        def test_refuses(mailauth_smtp):
            assert mailauth_smtp.security == "implicit"
            with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
                send(mailauth_smtp, context=mailauth_smtp.ssl_context())
            assert_not_authenticated(mailauth_smtp)
            assert mailauth_smtp.sessions[0].tls.outcome == "client-alert"

        @pytest.mark.mailauth(certificate="valid", tls=TLSPolicy(max_version="1.2"))
        def test_old(mailauth_smtp):
            send(mailauth_smtp, context=mailauth_smtp.ssl_context())
            assert mailauth_smtp.sessions[0].tls.version == "1.2"
        """
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("certificate='expird'", "*certificate='expird' is not known; use one of 'valid', 'expired'*"),
        ("securty='implicit'", "*ServerConfig has no setting 'securty'; did you mean 'security'*"),
        ("'implicit'", "*'implicit' has no name; it takes keyword arguments only*"),
        (
            "protocol='imap'",
            "*protocol='imap' is said by the fixture: use mailauth_smtp, mailauth_pop3 or mailauth_imap*",
        ),
        ("auth=AuthPolicy(preauthenticated=True)", "*preauthenticated=True exists in IMAP only*"),
        ("tls='1.2'", "*must be a TLSPolicy*"),
        ("security='none', certificate='expired'", "*needs TLS, but security is 'none'*"),
    ],
)
def test_a_wrong_marker_is_an_error_of_its_test_alone(suite, arguments, message):
    result = suite(
        f"""
        import pytest
        from pytest_mailauth import AuthPolicy

        @pytest.mark.mailauth({arguments})
        def test_it(mailauth_smtp): ...

        def test_another(mailauth_smtp): ...
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_wrong_marker_is_explained_under_xdist(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.mailauth(certificat="expired")
        def test_it(mailauth_smtp): ...

        @pytest.mark.mailauth_oauth(format="paper")
        def test_oauth(mailauth_oauth): ...

        def test_another(mailauth_smtp): ...
        """
    )
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:asyncio")
    result.assert_outcomes(passed=1, errors=2)
    # One call each: the order is the workers'.
    result.stdout.fnmatch_lines(["*has no setting 'certificat'; did you mean 'certificate'*"])
    result.stdout.fnmatch_lines(["*@pytest.mark.mailauth_oauth: format='paper'*"])


def test_a_marker_is_checked_against_the_protocols_that_are_used(suite):
    result = suite(
        """
        import pytest
        from pytest_mailauth import AuthPolicy

        pytestmark = pytest.mark.mailauth(auth=AuthPolicy(preauthenticated=True))

        def test_static(mailauth_imap): ...

        def test_asked_for(request):
            assert request.getfixturevalue("mailauth_imap").config.auth.preauthenticated

        def test_asked_for_in_vain(request):
            request.getfixturevalue("mailauth_pop3")
        """
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*test_asked_for_in_vain: @pytest.mark.mailauth: preauthenticated=True exists in IMAP*"]
    )


def test_the_marker_sets_what_the_factory_makes_unless_the_call_does(suite):
    suite(
        """
        import pytest
        from pytest_mailauth import ConfigError

        pytestmark = pytest.mark.mailauth(security="implicit", certificate="expired")

        def test_it(mailauth, mailauth_factory):
            assert (mailauth.smtp().security, mailauth.pop3().config.certificate) == ("implicit", "expired")
            assert mailauth.imap(certificate="valid").config.certificate == "valid"
            with pytest.raises(ConfigError, match="but security is 'none' .*mark.mailauth, .*has set: certificate"):
                mailauth.imap(security="none")
            assert mailauth_factory.smtp().config.certificate == "valid"
        """
    ).assert_outcomes(passed=1)


def test_the_factory_of_a_session_is_safe_under_given(suite):
    suite(
        """
        from hypothesis import given, settings, strategies as st
        from mail import send

        @settings(max_examples=5, deadline=None)
        @given(security=st.sampled_from(["starttls", "implicit"]))
        def test_it(mailauth_factory, security):
            with mailauth_factory.smtp(security=security) as server:
                send(server, context=server.ssl_context())
                assert len(server.messages) == 1
        """
    ).assert_outcomes(passed=1)


def test_the_certificate_authority_is_shared(suite):
    suite(
        """
        def test_it(mailauth_ca, mailauth_imap):
            assert mailauth_imap.cafile == mailauth_ca.cafile
            assert mailauth_imap.ssl_context().get_ca_certs() == mailauth_ca.ssl_context().get_ca_certs()
        """
    ).assert_outcomes(passed=1)


def test_a_failure_inside_a_server_fails_the_test_without_an_assertion(suite):
    result = suite(
        """
        import socket
        from pytest_mailauth.servers.engines.smtp import SmtpEngine

        def test_it(mailauth_smtp, monkeypatch):
            def broken(self, data):
                raise ZeroDivisionError("engine on fire")
            monkeypatch.setattr(SmtpEngine, "receive", broken)
            with socket.create_connection((mailauth_smtp.host, mailauth_smtp.port), timeout=5) as client:
                client.recv(1000)
                client.sendall(b"EHLO x\\r\\n")
                try:
                    assert client.recv(1000) == b""
                except ConnectionResetError:
                    pass
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ServerFault*failed inside*", "*engine on fire*"])


def test_a_failing_test_shows_the_transcript_of_its_servers_without_the_password(suite):
    result = suite(
        """
        from mail import send

        def test_it(mailauth_smtp):
            send(mailauth_smtp, context=mailauth_smtp.ssl_context())
            assert len(mailauth_smtp.messages) == 2
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*mailauth <MailServer smtp://localhost:*",
            "*S: 220 localhost*",
            "*C: STARTTLS",
            "*======== TLS 1.3*",
            "*C: AUTH PLAIN <initial response of * bytes>",
        ]
    )


def test_a_failing_test_leaves_nothing_behind(suite):
    suite(
        """
        import os, socket, threading

        def test_fails_with_a_client_still_connected(mailauth_imap):
            client = socket.create_connection((mailauth_imap.host, mailauth_imap.port), timeout=5)
            client.recv(1000)
            globals()["kept"] = client
            raise RuntimeError("on purpose")

        def test_nothing_is_left():
            kept = globals()["kept"]
            try:
                assert kept.recv(1000) == b""
            except ConnectionResetError:
                pass
            kept.close()
            # Trio keeps idle threads for a while, of tests that ran before in this process.
            names = {t.name for t in threading.enumerate() if t is not threading.main_thread()}
            assert {name for name in names if not name.startswith("Trio thread")} == {"pytest-mailauth"}
        """
    ).assert_outcomes(passed=1, failed=1)


def test_markers_and_fixtures_are_documented(suite):
    suite("", "--markers").stdout.fnmatch_lines(["@pytest.mark.mailauth(*, security='starttls'*"])
    listed = suite("", "--fixtures").stdout.str()
    for name in ("mailauth", "mailauth_factory", "mailauth_ca", "mailauth_smtp", "mailauth_pop3", "mailauth_imap"):
        assert f"\n{name} " in listed
    assert "A strict SMTP submission server" in listed
