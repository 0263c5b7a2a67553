"""What this system cannot do is a skip with its reason; what can be had elsewhere, or is a mistake, is a failure."""

import pytest

CANNOT = """
import pytest

from pytest_mailauth.servers.wire import port


@pytest.fixture(autouse=True)
def never_silent(monkeypatch):
    monkeypatch.setattr(port, "_measured", lambda: "a full accept queue refuses (as on a test's own system)")
"""
REASON = "*port_state='timeout' cannot be had on this system (*): a full accept queue refuses (as on a test's own *"


@pytest.fixture
def run(pytester):
    """Return a function that runs tests on a system that cannot leave an attempt unanswered."""
    pytester.makeconftest(CANNOT)

    def run(text):
        pytester.makepyfile(text)
        return pytester.runpytest("-rs", "-p", "no:asyncio", "-p", "no:randomly", "-p", "no:cacheprovider")

    return run


def test_a_test_is_skipped_with_the_reason(run):
    result = run("""
        import pytest

        @pytest.fixture
        def blocked(mailauth):
            return mailauth.imap(port_state="timeout")

        def test_in_the_test(mailauth):
            mailauth.smtp(port_state="timeout")

        def test_in_a_fixture(blocked):
            raise AssertionError("never")

        @pytest.mark.mailauth(port_state="timeout")
        def test_by_a_marker(mailauth_pop3):
            raise AssertionError("never")

        def test_while_it_runs(mailauth_smtp):
            mailauth_smtp.block()

        def test_by_a_shared_factory(mailauth_factory):
            with mailauth_factory.smtp(port_state="timeout"):
                raise AssertionError("never")
    """)
    result.assert_outcomes(skipped=5)
    result.stdout.fnmatch_lines([f"SKIPPED [[]1[]] test_a_test_is_skipped_with_the_reason.py:*{REASON}"] * 5)


def test_a_scenario_is_skipped_with_the_reason(run):
    result = run("""
        import smtplib

        from pytest_mailauth import conformance

        @conformance(protocols=["smtp"], security=["starttls"], scenarios=["port-drop"])
        def test_my_client(mailauth_case):
            case = mailauth_case
            with smtplib.SMTP(case.host, case.port, timeout=case.timeout) as smtp:
                smtp.starttls(context=case.ssl_context())
                smtp.login(case.username, case.password)
    """)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED [[]1[]] {REASON}"])


def test_what_can_be_had_elsewhere_fails(run):
    result = run("""
        import pytest

        from pytest_mailauth import CannotServe

        def test_prohibited(mailauth):
            mailauth.smtp(port_state="prohibited")

        def test_expected(mailauth):
            with pytest.raises(CannotServe):
                mailauth.smtp(port_state="timeout")
    """)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*CannotServe: port_state='prohibited' is an answer of the network*"])


def test_a_test_that_expects_to_fail_is_skipped_all_the_same(run):
    result = run("""
        import pytest

        @pytest.mark.xfail(strict=True)
        def test_it(mailauth):
            mailauth.smtp(port_state="timeout")
    """)
    result.assert_outcomes(skipped=1)
