"""What a user sees when a server waited for something that did not come."""

from __future__ import annotations

import pytest

# pytester takes out of sys.modules what was first imported inside it; a second copy would not know the first one's
# classes.
import pytest_mailauth.servers.engines.smtp
import pytest_mailauth.servers.server  # noqa: F401

SEND = """
import smtplib

def send(server, to="bob@example.test"):
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.login(server.account.username, server.account.password)
        return client.sendmail("app@example.test", [to], "Subject: Welcome\\r\\n\\r\\nHello")
"""


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(mail=SEND)

    def run(source):
        pytester.makepyfile(source)
        return pytester.runpytest("-W", "error", "-p", "no:randomly", "-p", "no:asyncio", "-rs")

    return run


def test_an_expectation_that_is_met_is_silent(suite):
    suite(
        """
        import pytest, smtplib
        from mail import send

        def test_it(mailauth_smtp):
            mailauth_smtp.on("RCPT", arg="bad@example.test").reply(550, "5.1.1 no such user")
            mailauth_smtp.on("VRFY").reply(252).optional()
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                send(mailauth_smtp, "bad@example.test")
        """
    ).assert_outcomes(passed=1)


def test_one_that_is_not_fails_the_test_and_shows_near_misses(suite):
    result = suite(
        """
        from mail import send

        def test_it(mailauth_smtp):
            mailauth_smtp.on("RCPT", arg="bad@example.test").reply(550, "5.1.1 no such user")
            mailauth_smtp.on("RSET").drop()
            send(mailauth_smtp)
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "E * pytest_mailauth.UnmetExpectations: <MailServer smtp://*> waited for what did not come:",
            "E *   on('RCPT', arg='bad@example.test') was never used; RCPT came with another argument:",
            "E *     RCPT [Tt][Oo]:<bob@example.test>",
            "E *   on('RSET') was never used; what came: EHLO (2 times), STARTTLS, AUTH, MAIL, RCPT, DATA, QUIT",
            "E * Where that is no failure, say so with .optional().",
            "*C: RCPT [Tt][Oo]:<bob@example.test>",
        ]
    )


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ("assert 'the body' == 'failed'", {"failed": 1}),
        ("pytest.skip('not today')", {"skipped": 1}),
        ("pytest.xfail('known')", {"xfailed": 1}),
    ],
)
def test_a_test_that_ended_early_is_not_blamed_twice(suite, last, outcome):
    result = suite(
        f"""
        import pytest

        def test_it(mailauth):
            mailauth.smtp().on("RSET").drop()
            mailauth.pop3().on("NOOP").drop()
            {last}
        """
    )
    result.assert_outcomes(**outcome)
    result.stdout.no_fnmatch_line("*UnmetExpectations*")


def test_a_set_up_that_failed_is_not_blamed_twice(suite):
    result = suite(
        """
        import pytest

        @pytest.fixture
        def broken(mailauth_smtp):
            mailauth_smtp.on("RSET").drop()
            raise OSError("broken")

        def test_it(broken):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.no_fnmatch_line("*UnmetExpectations*")


def test_answers_of_the_authorization_server_that_nobody_came_for(suite):
    result = suite(
        """
        import pytest
        from pytest_mailauth import OAuthServer, UnmetExpectations

        def test_unused(mailauth_oauth):
            mailauth_oauth.fail_next("invalid_grant", times=2)
            mailauth_oauth.deny_next()

        def test_failed(mailauth_oauth):
            mailauth_oauth.fail_next("invalid_grant")
            assert "the body" == "failed"

        def test_without_fixtures():
            with pytest.raises(UnmetExpectations), OAuthServer() as oauth:
                oauth.fail_next("slow_down")
            with pytest.raises(OSError), OAuthServer() as oauth:
                oauth.fail_next("slow_down")
                raise OSError
        """
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        "E * pytest_mailauth.UnmetExpectations: <OAuthServer *>: the token endpoint was to answer invalid_grant, "
        "invalid_grant, and no request came for it; the authorize endpoint was to answer access_denied, *"
    )


def test_servers_of_the_session_answer_where_they_are_left(suite):
    result = suite(
        """
        import pytest
        from pytest_mailauth import MailServers, UnmetExpectations

        def test_factory(mailauth_factory):
            with pytest.raises(UnmetExpectations), mailauth_factory.smtp() as server:
                server.on("RSET").drop()
            mailauth_factory.smtp().on("RSET").drop()  # never left: it answers at the end of the session

        def test_without_fixtures():
            with pytest.raises(UnmetExpectations), MailServers() as servers:
                servers.pop3().on("RSET").drop()
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["E * on('RSET') was never used; no client connected"])


def test_the_seed_of_a_fault_stands_beside_the_failure(suite):
    result = suite(
        """
        from mail import send

        def test_it(mailauth_smtp):
            mailauth_smtp.faults(seed=4711, rate=1, kinds=["drop"])
            send(mailauth_smtp)
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*-- [[]scripted drop (faults, seed=4711): EHLO[]]"])


@pytest.mark.parametrize(
    ("password", "shown"), [("account.password", "Secret(<redacted>)"), ("str.__str__(account.password)", "'<*>'")]
)
def test_secrets_are_not_shown(suite, password, shown):
    result = suite(
        f"""
        from mail import send

        def test_it(mailauth_smtp):
            account = mailauth_smtp.account
            mailauth_smtp.on("AUTH", arg={password}).drop()
            send(mailauth_smtp)
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*on('AUTH', arg={shown}) was never used; AUTH came with another argument:"])
    result.stdout.fnmatch_lines(["*AUTH PLAIN <initial response of * bytes>"])
