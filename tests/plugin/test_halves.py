"""pytest cuts long texts in the middle before anybody can take a secret out: no half of one is shown either.

And the secrets of servers that belong to the session are hidden like those of a test's own.
"""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mailauth.report.concealment import conceal_report, conceal_texts

TOKEN = "eYI9j1ZYQydUgCZ7LECbuH1CM"
HIDDEN = ((TOKEN, "<token>"), ("p@ss wörd 1", "<password>"))

SUITE = """
import base64
import pytest

def b64(text):
    return base64.b64encode(text.encode()).decode()

def noted(*secrets):
    with open("secrets.txt", "a") as file:
        file.write("".join(f"{secret}\\n" for secret in secrets))
    return [str(secret) for secret in secrets]

@pytest.fixture(params=range(4))
def secret(mailauth, mailauth_oauth, request):
    token = mailauth_oauth.issue(mailauth.account)
    return noted(mailauth.account.password, token, token.refresh_token, mailauth_oauth.client_secret)[request.param]

def refuses(*arguments):
    return False

def test_equal(secret):
    assert secret == "nope"

def test_in_a_collection(secret):
    assert [secret, {"auth": secret}] == [1]

def test_as_base64(secret):
    assert b64(f"\\0alice\\0{secret}") == b64("other")

def test_within_much_more(secret):
    assert refuses("x" * 200 + secret + "y" * 200, b64(secret).encode() * 20)

def test_in_a_local_variable(secret):
    line = "x" * 30 + secret * 20
    lines = [line] * 3
    assert not lines

def test_what_is_the_same_is_left_out(secret):
    text = "x" * 40 + secret
    assert text + "a" == text + "b"

def test_what_is_the_same_at_the_end_is_left_out(secret):
    text = secret + "x" * 50
    assert "a" + text == "b" + text

def test_in_an_exception(secret):
    raise ValueError(f"{secret[:12]}... is wrong")
"""


def halves(secret, text, size=6):
    forms = [secret, base64.b64encode(secret.encode()).decode()]
    return [part for form in forms for at in range(len(form) - size + 1) if (part := form[at : at + size]) in text]


def run(pytester, *options):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", *options],
        cwd=pytester.path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["-l", "-vv"], ["-l", "--tb=short", "-v"]], ids=" ".join)
def test_no_half_of_a_secret_is_shown(pytester, options):
    pytester.makepyfile(SUITE)
    text = run(pytester, *options)
    assert "32 failed" in text
    secrets = (pytester.path / "secrets.txt").read_text().split()
    assert len(secrets) == 4 * 32
    assert [
        (found, text[max(0, text.find(found[0]) - 60) :][:100]) for one in secrets if (found := halves(one, text))
    ] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'eYI9j1ZYQydU...gCZ7LECbuH1CM' == 'x'", "'<token>...<token>' == 'x'"),
        ("x eYI9\u2026CM y", "x <token>\u2026CM y"),
        ("eYI...1CM", "eYI...1CM"),
        (f"{TOKEN}...{TOKEN}", "<token>...<token>"),
        ("b'p@ss w\\xc3\\xb6...", "b'<password>..."),
        ("... and so on ... eYI9", "... and so on ... eYI9"),
        (f"a {base64.b64encode(TOKEN.encode()).decode()[:12]}...", "a <token>..."),
    ],
)
def test_what_is_beside_a_cut(text, shown):
    assert conceal_report(text, HIDDEN) == shown


@given(st.text(max_size=30), st.integers(4, len(TOKEN) - 1), st.text(max_size=30))
def test_wherever_it_is_cut(before, size, after):
    assert TOKEN[:size] not in conceal_report(f"{before}{TOKEN[:size]}...{after}", HIDDEN)
    assert TOKEN[-size:] not in conceal_report(f"{before}...{TOKEN[-size:]}{after}", HIDDEN)


def test_texts_that_are_compared():
    assert conceal_texts("a", "b", HIDDEN) is None
    assert conceal_texts(f"a{TOKEN}", "b", HIDDEN) == ("a<token>", "b")
    assert conceal_texts("a password", "b", (("password", "<password>"),)) is None


FACTORY = """
import smtplib
import pytest
from hypothesis import given, settings, strategies as st

def noted(server):
    with open("secrets.txt", "a") as file:
        file.write(f"{server.account.password}\\n")
    return str(server.account.password)

def log_in(server):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.login(server.account.username, server.account.password)

@pytest.fixture(scope="module")
def shared(mailauth_factory):
    with mailauth_factory.smtp() as server:
        yield server

def test_one(mailauth_factory):
    with mailauth_factory.smtp() as server:
        log_in(server)
        raise ValueError(noted(server))

def test_never_spoken_to(mailauth_factory):
    with mailauth_factory.smtp() as server:
        raise ValueError(noted(server))

def test_shared(shared):
    log_in(shared)
    raise ValueError(noted(shared))

def test_shared_without_a_word(shared):
    raise ValueError(noted(shared))

@settings(database=None, max_examples=60)
@given(st.integers())
def test_many(mailauth_factory, number):
    with mailauth_factory.smtp() as server:
        log_in(server)
        assert number < 1000, noted(server)
"""


def test_the_servers_of_the_session_that_a_test_used_count_as_its_own(pytester):
    pytester.makepyfile(FACTORY)
    text = run(pytester, "-v")
    assert "5 failed" in text
    for secret in (pytester.path / "secrets.txt").read_text().split():
        assert secret not in text
    assert text.count("ValueError: <password>\n") >= 4
    parts = {name.strip("_ "): part for name, part in sections(text)}
    counted = {name: part.count("--- mailauth <MailServer smtp://") for name, part in parts.items()}
    assert counted == {
        "test_one": 1,
        "test_never_spoken_to": 0,
        "test_shared": 1,
        "test_shared_without_a_word": 0,
        "test_many": 5,
    }
    assert "C: EHLO client.test" in parts["test_one"]


def sections(text):
    """Yield the reports of the tests, each with its name."""
    name, part = None, []
    for line in text.partition("= FAILURES =")[2].partition("short test summary")[0].splitlines():
        if line.startswith("____") and line.endswith("____"):
            if name:
                yield name, "\n".join(part)
            name, part = line, []
        part.append(line)
    yield name, "\n".join(part)
