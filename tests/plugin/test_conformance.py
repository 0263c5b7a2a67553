"""``@conformance``: the body of a test is the client, and each scenario is a test of its own."""

from __future__ import annotations

import re

import pytest

CLIENT = """
import smtplib, ssl

def careless():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

def send(case, context):
    implicit = case.security == "implicit"
    common = dict(host=case.host, port=case.port, timeout=case.timeout)
    with smtplib.SMTP_SSL(context=context, **common) if implicit else smtplib.SMTP(**common) as client:
        if case.security == "starttls":
            client.starttls(context=context)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: x\\r\\n\\r\\nHello")
"""
SOME = '["cert-expired", "starttls-not-offered", "tls10-only", "cert-cn-only", "port-465-blocked-587-clear"]'


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(client=CLIENT)

    def run(source, *args):
        pytester.makepyfile("from client import *\nfrom pytest_mailauth import *\n" + source)
        return pytester.runpytest(
            "-W", "error", "--strict-markers", "-p", "no:randomly", "-p", "no:asyncio", "-rA", *args
        )

    return run


def test_each_scenario_is_a_test_with_a_stable_id(suite):
    result = suite(
        f"""
@conformance(protocols=["smtp"], scenarios={SOME})
def test_client(mailauth_case):
    send(mailauth_case, mailauth_case.ssl_context())
"""
    )
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(
        [
            "PASSED *::test_client[[]smtp-starttls-starttls-not-offered[]]",
            "PASSED *::test_client[[]smtp-implicit-cert-expired[]]",
        ]
    )


def test_a_violation_fails_with_everything_a_newcomer_needs(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["cert-expired"])
def test_client(mailauth_case):
    send(mailauth_case, careless())
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*verify-chain: VIOLATION (the client broke this rule)",
            "*Requirement:*The certificate has a valid path to a trusted authority: signatures, dates*",
            "*Expected:*",
            "*Actual:*The certificate was expired, and session 1 on the main port: the password*",
            "*Transcript:",
            "*S: 220 localhost ESMTP pytest-mailauth",
            "*C: STARTTLS",
            "*======== TLS 1.3, TLS_AES_256_GCM_SHA384 =*",
            "*C: AUTH PLAIN <initial response of * bytes>",
            "*Next step:*Use a verifying TLS context*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_body_that_cannot_log_in_is_told_so(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["cert-expired"])
def test_client(mailauth_case):
    raise RuntimeError("no network today")
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*ClientUnusable: control: INCONCLUSIVE*", "*it never connected; it*", "*RuntimeError: no network today*"]
    )


def test_a_body_that_crashes_in_the_control_shows_its_own_line_and_no_password(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["cert-expired"])
def test_client(mailauth_case):
    settings = {"password": str(mailauth_case.password)}
    print("marked", settings["password"][:0], "so")
    raise RuntimeError(f"cannot log in with {settings}")
""",
        "--showlocals",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            '>*raise RuntimeError(f"cannot log in with {settings}")',
            "E*RuntimeError: cannot log in with {'password': '<password>'}",
            "*The above exception was the direct cause*",
            "E*ClientUnusable: control: INCONCLUSIVE*",
        ]
    )
    assert re.search(r"Pw[0-9a-f]{8}", result.stdout.str()) is None


LAZY = """
visits = []

@conformance(protocols=["smtp"], security=["starttls"], scenarios=["cert-expired", "starttls-not-offered"])
def test_client(mailauth_case):
    visits.append(mailauth_case)
    if len(visits) == 1:
        send(mailauth_case, mailauth_case.ssl_context())
    else:
        with smtplib.SMTP(mailauth_case.host, mailauth_case.port, timeout=1) as client:
            client.starttls(context=mailauth_case.ssl_context())
"""


@pytest.mark.parametrize("options", [(), ("-k", "expired"), ("-k", "offered")])
def test_a_client_that_stops_working_passes_nothing(suite, options):
    result = suite(LAZY, *options)
    result.assert_outcomes(failed=1 if options else 2, deselected=1 if options else 0)
    result.stdout.fnmatch_lines(
        ["*ClientViolation: *: INCONCLUSIVE*", "*Actual:*The closing control failed: the client did not log in to the*"]
    )


def test_a_scenario_with_a_login_needs_no_closing_control(suite):
    suite(
        """
visits = []

@conformance(protocols=["smtp"], security=["starttls"], scenarios=["tls12-only", "cert-expired"])
def test_client(mailauth_case):
    visits.append(mailauth_case)
    send(mailauth_case, mailauth_case.ssl_context())

def test_visits():
    assert len(visits) == 1 + 1 + 2
"""
    ).assert_outcomes(passed=3)


def test_a_remark_is_kept_although_the_test_passes(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["implicit"], scenarios=["cert-cn-only"])
def test_client(mailauth_case):
    send(mailauth_case, mailauth_case.ssl_context())
"""
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*mailauth*", "*RFC 9525 forbids it*"])


def test_a_client_without_a_time_out_is_cut_off_and_fails(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["port-tarpit"], declared=Declaration(timeout=0.2))
def test_client(mailauth_case):
    with smtplib.SMTP(mailauth_case.host, mailauth_case.port) as client:
        client.starttls(context=mailauth_case.ssl_context())
        client.login(mailauth_case.username, mailauth_case.password)
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*blocked-port-diagnosed: VIOLATION*", "*the client had not given up*"])


def test_a_library_that_leaves_a_connection_open_is_let_go_and_no_leak_of_the_test(suite):
    result = suite(
        """
import poplib

@conformance(protocols=["pop3"], security=["implicit"], scenarios=["cross-protocol-mail-mix", "implicit-no-greeting"],
             declared=Declaration(timeout=0.5))
def test_client(mailauth_case):
    case = mailauth_case
    client = poplib.POP3_SSL(case.host, case.port, timeout=case.timeout, context=case.ssl_context())
    client.user(case.username)
    client.pass_(case.password)
    client.quit()
    client.close()
"""
    )
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*ResourceWarning*")


def test_a_client_that_keeps_connections_is_asked_about_them(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["pool-other-user"])
def test_single(mailauth_case):
    send(mailauth_case, mailauth_case.ssl_context())

@conformance(protocols=["smtp"], security=["starttls"], scenarios=["pool-other-user"])
def test_pool(mailauth_case):
    first = mailauth_case.earlier or mailauth_case
    with smtplib.SMTP(first.host, first.port, timeout=first.timeout) as client:
        client.starttls(context=first.ssl_context())
        client.login(first.username, first.password)
        for case in filter(None, (mailauth_case.earlier, mailauth_case)):
            client.sendmail(case.sender, [case.recipient], "Subject: x\\r\\n\\r\\nHello")
"""
    )
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*reuse-matches-security: VIOLATION*",
            "SKIPPED*not applicable: this client makes one transfer; if it keeps connections*",
        ]
    )


def test_an_asynchronous_body(pytester):
    pytester.makepyfile(
        """
        import aiosmtplib
        from pytest_mailauth import conformance

        @conformance(protocols=["smtp"], scenarios=["cert-self-signed", "starttls-not-offered"])
        async def test_client(mailauth_case):
            await aiosmtplib.send(
                "Subject: x\\r\\n\\r\\nHello",
                sender=mailauth_case.sender,
                recipients=[mailauth_case.recipient],
                hostname=mailauth_case.host,
                port=mailauth_case.port,
                username=mailauth_case.username,
                password=mailauth_case.password,
                use_tls=mailauth_case.security == "implicit",
                start_tls=mailauth_case.security == "starttls",
                tls_context=mailauth_case.ssl_context(),
                timeout=mailauth_case.timeout,
            )
        """
    )
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    # In a process of its own: older releases of pytest-asyncio leave an event loop behind.
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=3)


def test_other_fixtures_and_parameters_work_beside_it(suite):
    result = suite(
        """
import pytest

@pytest.mark.parametrize("style", ["one", "two"])
@conformance(protocols=["smtp"], security=["implicit"], scenarios=["cert-expired"])
def test_client(mailauth_case, style, monkeypatch):
    monkeypatch.setenv("STYLE", style)
    send(mailauth_case, mailauth_case.ssl_context())
"""
    )
    result.assert_outcomes(passed=2)


def test_the_fixture_needs_the_decorator(suite):
    result = suite("\ndef test_client(mailauth_case): ...\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mailauth_case needs the decorator @conformance(...)*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("protocols=['smpt']", "*protocols='smpt' is not known; use one of 'smtp', 'pop3', 'imap'*"),
        ("protocols=['smtp'], security=['tls']", "*security='tls' is not known*"),
        ("protocols=['smtp'], scenarios=['cert-expird']", "*there is no scenario 'cert-expird'*"),
        (
            "protocols=['smtp'], scenarios=['preauth-no-caps']",
            "*scenarios=[[]'preauth-no-caps'[]]) selects no scenario*",
        ),
        ("protocols=['smtp'], scenarios=[]", "*scenarios=[[][]]) selects no scenario*"),
        ("protocols=[]", "*@conformance(protocols=[[][]], *) selects no scenario*"),
        (
            "protocols=['imap'], security=['none'], scenarios=['cert-expired']",
            "*@conformance(protocols=[[]'imap'[]], security=[[]'none'[]], *) selects no scenario*",
        ),
    ],
)
def test_wrong_arguments_are_refused_at_import(suite, arguments, message):
    result = suite(f"\n@conformance({arguments})\ndef test_client(mailauth_case): ...\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_failure_ends_with_the_cause_in_plain_words(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], scenarios=["cert-expired"])
def test_client(mailauth_case):
    send(mailauth_case, careless())
""",
        "-k",
        "starttls",
    )
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*  Next step: *",
            "*  Diagnosis:   The client went on with a server whose certificate it has to refuse. Session 1: the",
            "*certificate of this server is expired, and the client gave its password with PLAIN.*",
        ]
    )


def test_a_client_that_does_not_log_in_is_told_why(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["starttls"], scenarios=["cert-expired"])
def test_client(mailauth_case):
    send(mailauth_case, ssl.create_default_context())
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*  Diagnosis:   The client does not trust the issuer of the server's certificate.*"])


BY_PORT = """
def by_port(case, table):
    implicit = case.port in table
    trust = {"context": case.ssl_context()}
    common = dict(host=case.host, port=case.port, timeout=case.timeout)
    with smtplib.SMTP_SSL(**common, **trust) if implicit else smtplib.SMTP(**common) as client:
        if not implicit:
            client.starttls(**trust)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: x\\r\\n\\r\\nHello")
"""
PORTS = '["port-default-mode", "port-default-mode-25", "cert-expired"]'


def test_a_body_that_is_told_no_mode_meets_real_ports(suite):
    result = suite(
        f"""
{BY_PORT}
@conformance(protocols=["smtp"], scenarios={PORTS}, declared=Declaration(mode="from-port", timeout=1.0))
def test_client(mailauth_case):
    assert mailauth_case.port in (25, 465, 587)
    by_port(mailauth_case, (465,))
"""
    )
    result.assert_outcomes(passed=5)


def test_a_wrong_mode_is_a_violation_although_the_control_fails_of_it(suite):
    result = suite(
        f"""
{BY_PORT}
@conformance(protocols=["smtp"], scenarios={PORTS}, declared=Declaration(mode="from-port", timeout=1.0))
def test_client(mailauth_case):
    by_port(mailauth_case, ())
"""
    )
    result.assert_outcomes(passed=3, failed=2)
    text = result.stdout.str()
    assert "port-implies-mode: VIOLATION" in text
    assert "Port 465 stands for implicit TLS, and the client began with a command in clear" in text
    assert "ClientUnusable: control: INCONCLUSIVE" in text


def test_nothing_stands_alone_of_a_client_that_does_not_work(suite):
    result = suite(
        """
@conformance(protocols=["smtp"], security=["implicit"], scenarios=["port-default-mode"],
             declared=Declaration(mode="from-port", timeout=1.0))
def test_client(mailauth_case):
    raise OSError("broken")
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ClientUnusable*"])
