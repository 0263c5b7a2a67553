"""Programs of other people in a namespace: real names, real ports, our servers, and every certificate checked."""

import shutil
import sys

import pytest

from pytest_mailauth.model.config import ServerConfig
from pytest_mailauth.network.namespace import Namespace

if Namespace.probe() is not None:
    pytest.skip(Namespace.probe(), allow_module_level=True)

DEADLINE = 30
SMTP, POP3, IMAP = ("smtp.mail.example.test", "pop.mail.example.test", "imap.mail.example.test")
ADDRESSES = {SMTP: "127.42.0.25", POP3: "127.42.0.110", IMAP: "127.42.0.143"}
SERVED = {
    (SMTP, 587): ("smtp", "starttls"),
    (SMTP, 465): ("smtp", "implicit"),
    (POP3, 110): ("pop3", "starttls"),
    (POP3, 995): ("pop3", "implicit"),
    (IMAP, 143): ("imap", "starttls"),
    (IMAP, 993): ("imap", "implicit"),
}
MESSAGE = "From: alice@example.test\r\nTo: bob@example.test\r\nSubject: from inside\r\n\r\nhello\r\n"


@pytest.fixture
def inside():
    with Namespace() as one:
        one.names(ADDRESSES)
        yield one


@pytest.fixture
def serve(inside, mailauth):
    """Return a function that starts one of the servers above."""

    def serve(name, port, **settings):
        protocol, security = SERVED[name, port]
        config = ServerConfig(protocol=protocol, security=security, host=name, **settings)
        return mailauth.serve(config, sock=inside.listen(ADDRESSES[name], port))

    return serve


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def curl(inside, server, scheme, path, *arguments, **options):
    account = f"{server.account.username}:{server.account.password}"
    command = ["curl", "-sS", "--ssl-reqd", "--cacert", server.cafile, "--user", account, *arguments]
    return inside.run(
        [*command, f"{scheme}://{server.host}:{server.port}{path}"], text=True, timeout=DEADLINE, **options
    )


def sent_inside_tls(server):
    (session,) = server.sessions
    (message,) = server.messages
    return message.subject == "from inside" and message.over_tls and [one.accepted for one in session.auth] == [True]


@needs("curl")
@pytest.mark.parametrize(("scheme", "port"), [("smtp", 587), ("smtps", 465)])
def test_curl_sends(inside, serve, scheme, port):
    server = serve(SMTP, port)
    assert (server.host, server.port) == (SMTP, port)
    addresses = ("--mail-from", "alice@example.test", "--mail-rcpt", "bob@example.test", "--upload-file", "-")
    done = curl(inside, server, scheme, "", *addresses, input=MESSAGE)
    assert done.returncode == 0, done.stderr
    assert sent_inside_tls(server)


READS = {
    "imap": (IMAP, 143, "/INBOX;MAILINDEX=1"),
    "imaps": (IMAP, 993, "/INBOX;MAILINDEX=1"),
    "pop3": (POP3, 110, "/1"),
    "pop3s": (POP3, 995, "/1"),
}


@needs("curl")
@pytest.mark.parametrize("scheme", READS)
def test_curl_reads(inside, serve, scheme, tmp_path):
    name, port, path = READS[scheme]
    server = serve(name, port)
    (tmp_path / "one.eml").write_text(MESSAGE, newline="")
    server.load(tmp_path / "one.eml")
    done = curl(inside, server, scheme, path)
    assert done.returncode == 0, done.stderr
    assert "Subject: from inside" in done.stdout


@needs("curl")
def test_curl_refuses_a_certificate_for_another_name(inside, serve):
    server = serve(IMAP, 993, certificate="wrong-host")
    done = curl(inside, server, "imaps", "/")
    assert done.returncode == 60  # CURLE_PEER_FAILED_VERIFICATION
    assert server.sessions[0].auth == ()


@needs("msmtp")
@pytest.mark.parametrize(("port", "starttls"), [(587, "on"), (465, "off")])
def test_msmtp_sends(inside, serve, port, starttls):
    server = serve(SMTP, port)
    command = [
        "msmtp",
        "--file=/dev/null",
        f"--host={SMTP}",
        f"--port={port}",
        "--tls=on",
        f"--tls-starttls={starttls}",
    ]
    command += [f"--tls-trust-file={server.cafile}", "--auth=plain", f"--user={server.account.username}"]
    command += [
        f"--passwordeval=printf %s '{server.account.password}'",
        "--from=alice@example.test",
        "bob@example.test",
    ]
    done = inside.run(command, input=MESSAGE, text=True, timeout=DEADLINE)
    assert done.returncode == 0, done.stderr
    assert sent_inside_tls(server)


SMTPLIB = """
import smtplib, ssl, sys
host, port, cafile, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=cafile)
if port == "465":
    client = smtplib.SMTP_SSL(host, 465, context=context, timeout=20)
else:
    client = smtplib.SMTP(host, int(port), timeout=20)
    client.starttls(context=context)
with client:
    client.login(user, password)
    client.sendmail("alice@example.test", "bob@example.test", sys.stdin.read())
"""


def send_by_smtplib(inside, server):
    account = (server.account.username, server.account.password)
    command = [sys.executable, "-c", SMTPLIB, server.host, str(server.port), server.cafile, *account]
    return inside.run(command, input=MESSAGE, text=True, timeout=DEADLINE)


@pytest.mark.parametrize("port", [587, 465])
def test_smtplib_in_a_process_of_its_own_sends(inside, serve, port):
    server = serve(SMTP, port)
    done = send_by_smtplib(inside, server)
    assert done.returncode == 0, done.stderr
    assert sent_inside_tls(server)


@pytest.mark.skipif(Namespace.probe("refused") is not None, reason=str(Namespace.probe("refused")))
def test_one_port_is_blocked_and_the_other_serves(inside, serve):
    submission, submissions = serve(SMTP, 587), serve(SMTP, 465)
    inside.block(ADDRESSES[SMTP], 587, how="refused")
    done = send_by_smtplib(inside, submission)
    assert "ConnectionRefusedError" in done.stderr
    assert submission.sessions == ()
    assert send_by_smtplib(inside, submissions).returncode == 0
    inside.lift()
    assert send_by_smtplib(inside, submission).returncode == 0
    assert len(submission.sessions) == 1


def test_a_server_owns_the_socket_it_is_given(inside, serve):
    serve(SMTP, 587).close()
    serve(SMTP, 587).close()  # the port is free again
