"""No password and no token of ours is shown by this package: not in a report, a log, a file, a repr or an exception.

A suite that fails in every way runs in a process of its own, with every log at its loudest, every report written, and
the secrets of every account it makes noted. Then all that it printed and wrote is searched for each of them.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pytest_mailauth import Account
from pytest_mailauth.cli import main
from pytest_mailauth.model.canary import find

CONFTEST = """
import pytest
from pytest_mailauth import Account

fresh = Account.fresh.__func__

def noted(cls, *args, **options):
    account = fresh(cls, *args, **options)
    with open("noted.txt", "a") as file:
        file.write("\\n".join(account.secrets.values()) + "\\n")
    return account

Account.fresh = classmethod(noted)
"""

SUITE = '''
import base64, contextlib, imaplib, logging, poplib, smtplib, socket, ssl, warnings

import pytest

import pytest_mailauth
from pytest_mailauth import *
from pytest_mailauth.servers.engines.smtp import SmtpEngine

logging.getLogger().setLevel(logging.DEBUG)
logging.getLogger("asyncio").setLevel(logging.DEBUG)
logging.getLogger("mail.log").setLevel(logging.DEBUG)

EVERYWHERE = AuthPolicy(before_tls=("PLAIN", "LOGIN"), password_commands="always")
TOKENS = AuthPolicy(mechanisms=("XOAUTH2", "OAUTHBEARER"))

def b64(text):
    return base64.b64encode(text.encode()).decode()

def plain(name, password):
    return b64(f"\\0{name}\\0{password}")

def bearer(name, token):
    return b64(f"user={name}\\1auth=Bearer {token}\\1\\1")

def smtp(server):
    return smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5)

@pytest.fixture
def used(mailauth):
    """Servers that have seen every kind of login, right and wrong, in the right place and in others."""
    account = mailauth.account
    password, token, name = account.password, account.token, account.username
    servers = [
        mailauth.smtp(auth=EVERYWHERE), mailauth.smtp(auth=TOKENS), mailauth.smtp(),
        mailauth.pop3(auth=EVERYWHERE), mailauth.imap(auth=EVERYWHERE),
    ]
    with smtp(servers[0]) as client:
        client.login(name, password)
        client.sendmail("app@example.test", [account.address], f"Subject: {password}\\r\\n\\r\\n{token}\\r\\n")
    with smtp(servers[0]) as client:
        client.ehlo(password)
        client.docmd(password)
        client.docmd(b64(password))
        client.docmd(plain(name, password))
        client.docmd("NOOP", password)
        client.docmd("VRFY", password)
        client.docmd("AUTH", f"{password} {token}")
        client.docmd("AUTH", "LOGIN")
        client.docmd(b64(password))
        client.docmd(b64(name))
        client.docmd("AUTH", f"PLAIN {b64(password)}")
        client.docmd("AUTH", f"PLAIN {password}")
        client.docmd("MAIL", f"FROM:<{password}@example.test> {token}=1")
        client.docmd("MAIL", f"FROM:<{password}@example.test>")
        client.docmd("RCPT", f"TO:<{token}@example.org>")
        client.docmd("RCPT", f"TO:<{password}@example.test>")
    with smtp(servers[1]) as client:
        client.starttls(context=servers[1].ssl_context())
        client.ehlo()
        client.docmd("AUTH", f"XOAUTH2 {bearer(name, token + 'x')}")
        client.docmd("AUTH", f"XOAUTH2 {bearer(name, token)}")
    with smtp(servers[2]) as client:
        client.ehlo()
        client.docmd("AUTH", f"PLAIN {plain(name, password)}")
        client.starttls(context=servers[2].ssl_context())
        with contextlib.suppress(smtplib.SMTPAuthenticationError):
            client.login(name, password + "x")
        client.login(name, password)
    pop3 = poplib.POP3(servers[3].host, servers[3].port, timeout=5)
    for line in (f"USER {password}", f"PASS {name}", password, b64(password), f"PASS {password}x", f"XYZ {password}",
                 f"APOP {name} {password}", f"AUTH PLAIN {b64(password)}", f"USER {name}", f"PASS {password}", "STAT",
                 f"RETR {password}", "RETR 1", "DELE 1"):
        with contextlib.suppress(poplib.error_proto):
            (pop3._longcmd if line == "RETR 1" else pop3._shortcmd)(line)
    pop3.close()
    with socket.create_connection((servers[4].host, servers[4].port), timeout=5) as imap, imap.makefile("rwb") as file:
        lines = [f"a LOGIN {password} {name}", f"a {password} {token}", f"{password} NOOP", f"a SELECT {password}",
                 f'a LOGIN {name} "{password}x"', f"a AUTHENTICATE PLAIN {b64(password)}", f"a ID ({token} {token})",
                 f"a LOGIN {name} {password}", f"a SELECT {password}", "a SELECT INBOX", "a UID FETCH 1:* (BODY[])",
                 f'a SEARCH SUBJECT "{password}"', f"a CREATE {token}", "a LOGOUT"]
        for line in lines:
            file.write(f"{line}\\r\\n".encode())
            file.flush()
            tag = line.split()[0].encode() + b" "
            for answer in file:
                if answer.startswith((tag, b"* BAD", b"+ ")):
                    break
    return servers

def every(used):
    for server in used:
        yield from (server, server.account, server.config, server.sessions, server.messages, server._policy)
        for session in server.sessions:
            yield from (session, session.entries, session.commands, session.auth, session.tls, session.stored)
            yield from (*session.commands, *session.auth, *session.entries)
    yield from (used[0]._shared, used[0]._shared.store)

def test_reprs(used, mailauth_secrets):
    shown = [repr(one) for one in every(used)]
    print(*shown, sep="\\n")
    print(*(server.transcript() for server in used), sep="\\n")
    assert len(shown) == 0

@pytest.mark.parametrize("number", range(5))
def test_compared(used, number):
    server = used[number]
    assert (server, server.account, server.sessions, server.messages) == ()

@pytest.mark.parametrize("number", range(5))
def test_bytes(used, number):
    session = used[number].sessions[-1]
    assert (session.clear_in, session.clear_out, session.tls_in, session.tls_out) == (b"", b"", b"", b"")

@pytest.mark.parametrize("number", range(5))
def test_commands(used, number):
    assert [c for s in used[number].sessions for c in s.commands] == [c.argument for c in used[number].sessions[-1].commands]

CLAIMS = [
    lambda s: assert_obeys(s), lambda s: assert_no_cleartext_credentials(s), lambda s: assert_tls(s),
    lambda s: assert_not_authenticated(s), lambda s: assert_mechanism(s, "CRAM-MD5"),
    lambda s: assert_starttls_before_auth(s), lambda s: assert_capabilities_refetched(s),
    lambda s: assert_commands(s, ["NOTHING"], session=1), lambda s: assert_commands(s, ["EHLO", s.account.password], session=1),
    lambda s: assert_commands(s, ["NOTHING"], session=2), lambda s: assert_recipients(s, [s.account.password]),
    lambda s: assert_message_count(s, 99), lambda s: assert_quit_sent(s), lambda s: assert_no_connection(s),
    lambda s: assert_handshake_rejected(s),
]

@pytest.mark.parametrize("claim", CLAIMS)
def test_claims(used, claim):
    failures = []
    for server in used:
        try:
            claim(server)
        except (AssertionError, ConfigError) as failure:
            failures.append(failure)
            print(failure, repr(failure))
    raise ExceptionGroup("all of them", failures)

def test_absent(used, mailauth_secrets):
    mailauth_secrets.assert_absent(mailauth_secrets.password, b64(mailauth_secrets.token), *(s.tls_in for s in used[0].sessions),
                                   *(s.clear_in for s in used[0].sessions))

def test_a_wrong_password(mailauth_smtp):
    with smtp(mailauth_smtp) as client:
        client.starttls(context=mailauth_smtp.ssl_context())
        client.login(mailauth_smtp.account.username, mailauth_smtp.account.password + "x")

def test_a_sender_that_is_refused(mailauth_smtp):
    with smtp(mailauth_smtp) as client:
        client.sendmail("app@example.test", [mailauth_smtp.account.password + "@example.org"], "x")

def test_an_exception_that_quotes_the_password(mailauth_smtp):
    raise ValueError(f"cannot log in with {str(mailauth_smtp.account.password)}") from KeyError(str(mailauth_smtp.account.token))

def test_inside_a_server(mailauth_smtp, monkeypatch):
    def broken(self, data):
        raise ZeroDivisionError(f"engine on fire: {data!r}")
    monkeypatch.setattr(SmtpEngine, "receive", broken)
    with socket.create_connection((mailauth_smtp.host, mailauth_smtp.port), timeout=5) as client:
        client.recv(1000)
        client.sendall(f"AUTH PLAIN {b64(mailauth_smtp.account.password)} {mailauth_smtp.account.token}\\r\\n".encode())
        with contextlib.suppress(ConnectionResetError):
            client.recv(1000)
    raise RuntimeError("and the test too")

def test_wrong_settings(mailauth):
    mailauth.smtp(auth=mailauth.account)

@conformance(protocols=["smtp"], security=["starttls"], scenarios=["starttls-not-offered", "cert-expired"])
def test_careless(mailauth_case):
    with smtp(mailauth_case) as client:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.ehlo()
        if client.has_extn("starttls"):
            client.starttls(context=context)
        client.login(mailauth_case.username, mailauth_case.password)
        raise ValueError(f"{mailauth_case!r} {mailauth_case.password!r}")
'''


def secrets_in(data, secrets):
    return [
        (name, data[max(0, data.find(secret.encode()) - 80) :][:200])
        for secret in secrets
        if (name := find(secret, data))
    ]


@pytest.mark.parametrize("options", [["-vv", "-l", "-rA"], ["--tb=native", "-n", "1"]], ids=" ".join)
def test_a_suite_that_fails_in_every_way(pytester, options):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(SUITE)
    loud = ["--log-level=DEBUG", "--log-file=all.log", "--log-file-level=DEBUG", "-o", "junit_logging=all"]
    if "-n" not in options:
        loud += ["-o", "log_cli=true", "--log-cli-level=DEBUG"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "--junitxml=junit.xml", *loud, *options],
        cwd=pytester.path,
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout + done.stderr
    assert b"39 failed" in printed
    assert b"1 error" in printed
    secrets = (pytester.path / "noted.txt").read_text().split()
    assert len(secrets) >= 2 * 39
    assert secrets_in(printed, secrets) == []
    written = [path for path in pytester.path.rglob("*") if path.is_file() and path.name != "noted.txt"]
    assert {"junit.xml", "all.log"} <= {path.name for path in written}
    assert {str(path): secrets_in(path.read_bytes(), secrets) for path in written} == {
        str(path): [] for path in written
    }


# A library that drops a socket when its constructor fails is not ours to mend.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_command_shows_no_secret(monkeypatch, tmp_path):
    made = []
    fresh = Account.fresh.__func__

    def noted(cls, *args, **options):
        made.append(fresh(cls, *args, **options))
        return made[-1]

    monkeypatch.setattr(Account, "fresh", classmethod(noted))
    report = tmp_path / "report.json"
    result = CliRunner().invoke(main, ["check", "smtplib", "--json", str(report), "-v"])
    secrets = [secret for account in made for secret in account.secrets.values()]
    assert len(secrets) > 10
    assert secrets_in(result.output.encode(), secrets) == []
    assert secrets_in(report.read_bytes(), secrets) == []
