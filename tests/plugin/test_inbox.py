"""Waiting for messages, from threads and from event loops, and mailboxes filled from files."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import mailbox
import poplib
import random
import re
import smtplib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import trio
import trio.testing

from pytest_mailauth import ClientViolation, ConfigError, MailServers, MessageNotArrived, assert_recipients
from pytest_mailauth.model.canary import find

BOB = "bob@example.test"


@pytest.fixture
def server(mailauth):
    return mailauth.smtp(security="none")


def submit(server, subject="Welcome", to=BOB):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.sendmail("app@example.test", [to], f"Subject: {subject}\r\n\r\nHello\r\n")


@contextlib.contextmanager
def submitting(*args):
    thread = threading.Thread(target=submit, args=args)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class Then:
    """A match that lets the first message pass, and has the next one sent while it is being waited for."""

    def __init__(self, server, subject="second"):
        self.thread = threading.Thread(target=submit, args=(server, subject))
        self.seen = []

    def __call__(self, message):
        self.seen.append(message.subject)
        if len(self.seen) == 1:
            self.thread.start()
            return False
        self.thread.join()
        return True


# What fits.


def test_a_message_that_is_already_there(server, mailauth):
    submit(server)
    assert server.wait_for_message(timeout=0).subject == "Welcome"
    assert mailauth.wait_for_message(timeout=0) is server.messages[0] is mailauth.messages[0]


def test_a_message_that_arrives_while_it_is_waited_for(server):
    submit(server, "first")
    then = Then(server)
    assert server.wait_for_message(match=then, timeout=float("inf")).subject == "second"
    assert then.seen == ["first", "second"]


def test_every_server_of_an_environment_can_be_asked(server, mailauth):
    with submitting(server):
        assert mailauth.imap().wait_for_message().subject == "Welcome"


@pytest.mark.parametrize(
    ("wanted", "subject"),
    [
        ({}, "Welcome"),
        ({"to": "CAROL@example.test"}, "Your code"),
        ({"subject": "Your code"}, "Your code"),
        ({"subject": re.compile(r"(?i)your")}, "Your code"),
        ({"match": lambda message: message.text == "Hello\n", "to": "carol@example.test"}, "Your code"),
    ],
)
def test_what_fits(server, wanted, subject):
    submit(server)
    submit(server, "Your code", "carol@example.test")
    assert server.wait_for_message(**wanted, timeout=0).subject == subject


def test_a_second_message_of_the_same_kind(server):
    submit(server)
    first = server.wait_for_message(to=BOB)
    with submitting(server):
        second = server.wait_for_message(to=BOB, after=first)
    assert second == first
    assert second is not first
    with pytest.raises(MessageNotArrived, match=re.escape("subject 'Welcome': it is not after the earlier one")):
        server.wait_for_message(to=BOB, after=second, timeout=0)


def test_many_wait_and_each_gets_its_own(server):
    subjects = [f"message {number}" for number in range(8)]
    with ThreadPoolExecutor(len(subjects)) as pool:
        waiting = [pool.submit(server.wait_for_message, subject=subject) for subject in subjects]
        for subject in random.sample(subjects, len(subjects)):
            submit(server, subject)
        assert [one.result().subject for one in waiting] == subjects
    assert server.inbox._bells == []


def test_an_error_of_the_match_is_the_tests_own(server):
    submit(server)
    with pytest.raises(ZeroDivisionError):
        server.wait_for_message(match=lambda _message: 1 / 0)
    submit(server)  # and the server goes on
    assert len(server.messages) == 2
    assert server.inbox._bells == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"to": ["a@example.test"]}, "to=['a@example.test'] is not an address"),
        ({"subject": re.compile(b"x")}, "is neither a string nor a pattern"),
        ({"subject": 1}, "subject=1 is neither"),
        ({"match": "x"}, "match='x' cannot be called"),
        ({"match": asyncio.sleep}, "is a coroutine function, which nobody would await"),
        ({"timeout": -1}, "timeout=-1 is no number of seconds"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": None}, "timeout=None"),
        ({"after": "x"}, "after='x' is none of the messages of this inbox"),
    ],
)
def test_arguments_that_make_no_sense(server, arguments, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        server.wait_for_message(**arguments)


# What does not arrive.

GOLDEN = """\
a message to bob@example.test with the subject 'Your code' taken by has_code did not arrive within 0 s
  Arrived:   2 messages
    1. to carol@example.test, subject 'Your code': the recipient differs
    2. to bob@example.test, subject 'Your code': the function did not take it
  Clients:   2 sessions, the last one with smtp://localhost:PORT
"""


def failure(server, **wanted):
    with pytest.raises(MessageNotArrived) as caught:
        server.wait_for_message(**wanted)
    return str(caught.value).replace(f":{server.port}", ":PORT")


def test_what_the_failure_says(server):
    def has_code(message):
        return message.codes

    submit(server, "Your code", "carol@example.test")
    submit(server, "Your code")
    text = failure(server, to=BOB, subject="Your code", match=has_code, timeout=0)
    assert text.startswith(GOLDEN)
    assert text.endswith(
        "  Next step: Compare what arrived with what was waited for.\n"
        "  Diagnosis: No known cause of a failed connection, login or delivery was seen. Session 1 was in clear, "
        "handed over 1 message, ended with QUIT; session 2 was in clear, handed over 1 message, ended with QUIT."
    )
    assert "to:<bob@example.test>" in text.lower()


def test_what_the_failure_says_when_nobody_connected(server):
    assert failure(server, subject=re.compile("code"), timeout=0.01) == (
        "a message with a subject that has 'code' did not arrive within 0.01 s\n"
        "  Arrived:   no messages\n"
        "  Clients:   none connected to smtp://localhost:PORT\n"
        "  Next step: Check that the application was given host and port of this server, and that it sends at all."
    )


def test_what_the_failure_says_when_there_is_no_server_to_send_to(mailauth):
    text = failure(mailauth.imap(), timeout=0)
    assert "none connected to any server: there is no SMTP server" in text
    assert "Next step: Make an SMTP server" in text


def test_what_the_failure_says_when_the_client_did_not_deliver(mailauth):
    server = mailauth.smtp()
    account = server.account
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.login(account.username, account.password)
        client.docmd("NOOP", account.password)
    text = failure(server, timeout=0)
    assert "any message did not arrive" in text
    assert "See in the transcript how far the client came" in text
    assert "  Diagnosis: No known cause" in text.splitlines()[-1]
    assert "\n    ...\n" in text
    assert find(account.password, text.encode()) is None


def test_the_failure_shows_no_secret_of_the_account(mailauth, server):
    submit(server, f"Your new password: {mailauth.account.password}", to="carol@example.test")
    submit(server, f"{'x' * 60} {mailauth.account.password}")
    text = failure(server, to=BOB, match=lambda _message: False, timeout=0)
    assert "subject 'Your new password: <password>'" in text
    assert mailauth.account.password[:8] not in text


def test_of_many_messages_the_nearest_are_shown(server):
    for number in range(12):
        submit(server, f"{number} {'x' * 100}", "carol@example.test")
    submit(server, "\x1b[31m")
    lines = failure(server, to=BOB, subject="Hello", timeout=0).splitlines()
    assert lines[1] == "  Arrived:   13 messages, of which the nearest 10 are"
    shown = [line.strip() for line in lines[2:12]]
    assert [int(line.partition(".")[0]) for line in shown] == [*range(4, 14)]
    assert shown[-1] == r"13. to bob@example.test, subject '\x1b[31m': the subject differs"
    assert all(len(line) < 200 for line in shown)


def test_a_server_that_is_closed_is_not_waited_for(server, mailauth):
    submit(server)
    server.close()
    assert server.wait_for_message().subject == "Welcome"
    assert "cannot: the servers are closed" in failure(server, subject="other", timeout=600)


def test_who_waits_is_told_when_the_servers_close(mailauth):
    with ThreadPoolExecutor(2) as pool, mailauth.environment() as servers:
        waiting = [pool.submit(servers.smtp().wait_for_message, timeout=600), pool.submit(servers.wait_for_message)]
        servers.close()
        for one in waiting:
            with pytest.raises(MessageNotArrived, match="cannot: the servers are closed"):
                one.result()


def test_an_environment_without_servers_can_be_closed_too(mailauth):
    with ThreadPoolExecutor(1) as pool, mailauth.environment() as servers:
        waiting = pool.submit(servers.wait_for_message, timeout=600)
        servers.close()
        with pytest.raises(MessageNotArrived, match="there is no SMTP server"):
            waiting.result()


# Event loops.

LIBRARIES = {
    "asyncio": asyncio.run,
    "trio": lambda main: trio.run(lambda: main),
    "anyio on asyncio": lambda main: anyio.run(lambda: main),
    "anyio on trio": lambda main: anyio.run(lambda: main, backend="trio"),
}


@pytest.fixture(params=LIBRARIES)
def run(request):
    return LIBRARIES[request.param]


async def beside(function, run_first):
    """Await *function* in a task, call *run_first* once that task waits, and return the result: no loop is blocked."""
    result = []

    async def task():
        result.append(await function())

    async with anyio.create_task_group() as group:
        group.start_soon(task)
        await anyio.wait_all_tasks_blocked()
        run_first()
    return result[0]


def test_it_is_awaited_under_every_library(run, server):
    thread = threading.Thread(target=submit, args=(server,))

    async def main():
        return await beside(lambda: server.await_message(timeout=float("inf")), thread.start)

    assert run(main()).subject == "Welcome"
    thread.join()
    assert server.inbox._bells == []


def test_the_first_message_wakes_and_the_second_fits(run, mailauth, server):
    async def main():
        then = Then(server)
        first = threading.Thread(target=submit, args=(server, "first"))
        message = await beside(lambda: mailauth.await_message(match=then), first.start)
        first.join()
        return message

    assert run(main()).subject == "second"


def test_asyncio_needs_neither_trio_nor_sniffio(server, monkeypatch):
    for name in ("trio", "sniffio"):
        monkeypatch.delitem(sys.modules, name)

    async def main():
        return await beside(server.await_message, thread.start)

    thread = threading.Thread(target=submit, args=(server,))
    assert asyncio.run(main()).subject == "Welcome"
    thread.join()


def test_what_is_already_there_is_returned_at_once(run, server):
    submit(server)

    async def main():
        return await server.await_message(to=BOB, subject="Welcome", timeout=0)

    assert run(main()) is server.messages[0]


def test_time_runs_out_in_every_library(run, server):
    async def main():
        with pytest.raises(MessageNotArrived, match=r"^any message did not arrive within 0\.01 s\n"):
            await server.await_message(timeout=0.01)

    run(main())
    assert server.inbox._bells == []


def test_what_arrives_as_time_runs_out_has_arrived(run, server):
    submit(server, "first")

    def slow(message):
        if message.subject == "first":
            submit(server, "second")
        return message.subject == "second"

    async def main():
        return await server.await_message(match=slow, timeout=0)

    assert run(main()).subject == "second"


def test_it_can_be_cancelled(run, server):
    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(server.await_message)
            await anyio.wait_all_tasks_blocked()
            assert len(server.inbox._bells) == 1
            group.cancel_scope.cancel()

    run(main())
    assert server.inbox._bells == []


def test_it_is_told_when_the_servers_close(run, mailauth):
    servers = mailauth.environment()
    servers.smtp()

    async def waiting():
        with pytest.raises(MessageNotArrived, match="cannot: the servers are closed"):
            await servers.await_message(timeout=600)

    async def main():
        await beside(waiting, servers.close)

    run(main())


def test_blocking_an_event_loop_is_remarked(run, server):
    async def main():
        return failure(server, timeout=0)

    assert run(main()).endswith("use `await server.await_message(...)`.")


def test_a_loop_that_is_over_rings_nobody(server):
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.await_message())
    loop.run_until_complete(asyncio.sleep(0))
    submit(server)
    assert loop.run_until_complete(task).subject == "Welcome"
    loop.close()
    with server.inbox.heard_by(lambda: loop.call_soon_threadsafe(int)):
        submit(server)
    assert len(server.messages) == 2


def test_without_an_event_loop_it_says_what_to_do(server):
    coroutine = server.await_message()
    with pytest.raises(ConfigError, match=re.escape("elsewhere use wait_for_message()")):
        coroutine.send(None)


# Whose messages they are.


def test_a_test_begins_with_an_empty_inbox(pytester):
    pytester.makepyfile(
        """
        import smtplib
        import pytest

        def send(server, subject):
            with smtplib.SMTP(server.host, server.port, timeout=5) as client:
                client.sendmail("app@example.test", [server.account.address], f"Subject: {subject}\\r\\n\\r\\n")

        @pytest.mark.mailauth(security="none")
        @pytest.mark.parametrize("number", range(3))
        def test_one(mailauth, mailauth_smtp, mailauth_pop3, number):
            assert mailauth.messages == mailauth_smtp.messages == ()
            assert mailauth.store.mailboxes(mailauth.account)["INBOX"].messages == []
            send(mailauth_smtp, f"message {number}")
            assert mailauth_pop3.wait_for_message().subject == f"message {number}"
            assert [message.subject for message in mailauth.messages] == [f"message {number}"]
        """
    )
    pytester.runpytest("-W", "error", "-p", "no:asyncio", "-p", "no:randomly").assert_outcomes(passed=3)


def test_servers_of_the_factory_have_an_inbox_each(mailauth_factory):
    with mailauth_factory.smtp(security="none") as one, mailauth_factory.smtp(security="none") as other:
        submit(one)
        assert one.wait_for_message().subject == "Welcome"
        with pytest.raises(MessageNotArrived):
            other.wait_for_message(timeout=0)
    for ask in (
        lambda: mailauth_factory.messages,
        mailauth_factory.wait_for_message,
        lambda: mailauth_factory.load("x"),
    ):
        with pytest.raises(ConfigError, match="each of these servers has messages of its own; ask the server"):
            ask()


# Mailboxes filled from files.

SUBJECTS = ("one", "two")


def lay_eml(path):
    path.write_bytes(b"Subject: one\nDate: Tue, 24 Nov 2026 07:54:32 +0000\n\nHello\n")
    return 1


def lay_mbox(path):
    box = mailbox.mbox(path)
    for subject in SUBJECTS:
        box.add(f"Subject: {subject}\nDate: Tue, 24 Nov 2026 07:54:32 +0000\n\nHello\n")
    box.close()
    return 2


def lay_maildir(path):
    box = mailbox.Maildir(path)
    for number, subject in enumerate(SUBJECTS):
        name = f"{number}.x:2,S" if number else f"{number}.x"
        place = path / ("cur" if number else "new") / name
        place.write_text(f"Subject: {subject}\nDate: Tue, 24 Nov 2026 07:54:32 +0000\n\nHello\n")
    box.close()
    return 2


@pytest.mark.parametrize("lay", [lay_eml, lay_mbox, lay_maildir])
def test_what_is_loaded_is_handed_out(mailauth, tmp_path, lay):
    pop3, imap = mailauth.pop3(security="implicit"), mailauth.imap(security="implicit")
    count = lay(tmp_path / "mail")
    assert mailauth.load(tmp_path / "mail") == count
    assert imap.load(str(tmp_path / "mail"), "Archive/2026") == count
    assert mailauth.messages == ()
    account, subjects = mailauth.account, SUBJECTS[:count]

    client = poplib.POP3_SSL(pop3.host, pop3.port, context=pop3.ssl_context(), timeout=5)
    client.user(account.username)
    client.pass_(account.password)
    assert client.stat()[0] == count
    for number, subject in enumerate(subjects, 1):
        lines = client.retr(number)[1]
        assert f"Subject: {subject}".encode() in lines
        assert lines[-1] == b"Hello"
    client.quit()

    with imaplib.IMAP4_SSL(imap.host, imap.port, ssl_context=imap.ssl_context(), timeout=5) as client:
        client.login(account.username, account.password)
        assert [line.split()[-1] for line in client.list()[1]] == [b"INBOX", b"Archive", b"Archive/2026"]
        for name in ("INBOX", "Archive/2026"):
            assert client.select(name) == ("OK", [b"%d" % count])
            for number, subject in enumerate(subjects, 1):
                answer = client.fetch(str(number), "(INTERNALDATE BODY.PEEK[])")[1][0]
                assert b'INTERNALDATE "24-Nov-2026 07:54:32 +0000"' in answer[0]
                assert answer[1].startswith(b"Subject: %b\r\n" % subject.encode())
        if lay is lay_maildir:
            assert client.search(None, "SEEN") == ("OK", [b"2"])


def test_loading_adds_to_what_is_there(mailauth, server, tmp_path):
    submit(server, to=mailauth.account.address)
    server.wait_for_message()
    lay_eml(tmp_path / "x.eml")
    server.load(tmp_path / "x.eml", "Inbox")
    server.load(tmp_path / "x.eml", "inbox")
    assert [stored.uid for stored in mailauth.store.mailboxes(mailauth.account)["INBOX"].messages] == [1, 2, 3]


def test_an_unfit_file_loads_nothing(mailauth, tmp_path):
    (tmp_path / "x.eml").write_bytes(b"\x00\x01")
    with pytest.raises(ConfigError, match="does not begin with a header field"):
        mailauth.load(tmp_path / "x.eml")
    with pytest.raises(ConfigError, match="is no name of a mailbox"):
        mailauth.load(tmp_path / "x.eml", "a//b")
    assert list(mailauth.store.mailboxes(mailauth.account)) == ["INBOX"]


def test_closed_servers_load_nothing(tmp_path):
    lay_eml(tmp_path / "x.eml")
    with MailServers() as servers:
        servers.smtp()
    with pytest.raises(RuntimeError, match="the servers are closed"):
        servers.load(tmp_path / "x.eml")


def test_a_recipient_that_is_no_utf_8_can_be_printed(server):
    with smtplib.SMTP(server.host, server.port, local_hostname="client.test", timeout=5) as client:
        client.ehlo()
        client.send(b"MAIL FROM:<a@example.test> SMTPUTF8\r\nRCPT TO:<b\xff@example.test>\r\nDATA\r\n\r\n.\r\n")
        for _ in range(4):
            client.getreply()
    message = server.wait_for_message()
    assert message.rcpt_tos[0].encode("utf-8", "surrogateescape") == b"b\xff@example.test"
    with pytest.raises(ClientViolation) as wrong:
        assert_recipients(server, [BOB])
    texts = [failure(server, to=BOB, timeout=0), server.transcript(), str(wrong.value), repr(message)]
    assert [ascii(text) for text in texts if not text.isascii()] == []
    assert [text for text in texts[:3] if r"b\xff@example.test" not in text] == []


def test_the_failure_shows_no_secret_of_an_added_account(mailauth, server):
    bob, carol = mailauth.add_account(BOB), mailauth.add_account("carol@example.test", password="p@ss wörd 1")
    submit(server, f"Your password: {bob.password}", to=f"{carol.token}@example.test")
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.ehlo(str(bob.token))
        client.sendmail("app@example.test", BOB, f"Subject: {carol.password}\r\n\r\n".encode())
    text = failure(server, subject="x", timeout=0)
    for secret in (*bob.secrets.values(), *carol.secrets.values()):
        assert find(secret, text.encode()) is None
    assert "1. to <token>@example.test, subject 'Your password: <password>'" in text
    assert "2. to bob@example.test, subject '<password>'" in text


def test_what_is_appended_was_not_submitted(mailauth):
    server = mailauth.imap(security="implicit")
    with imaplib.IMAP4_SSL(server.host, server.port, ssl_context=server.ssl_context(), timeout=5) as client:
        client.login(server.account.username, server.account.password)
        assert client.append("INBOX", None, None, b"Subject: draft\r\n\r\n")[0] == "OK"
        client.select("INBOX")
        assert client.search(None, "ALL") == ("OK", [b"1"])
    assert server.messages == ()
    assert [stored.recipients for session in server.sessions for stored in session.stored] == [()]


def test_the_null_reverse_path_is_shown_as_such(server):
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.sendmail("", [BOB], "Subject: Bounce\r\n\r\n")
    assert server.wait_for_message().mail_from == "<>"


def test_what_is_no_utf_8_breaks_no_run(pytester):
    pytester.makepyfile(
        r"""
        import smtplib
        import pytest
        from pytest_mailauth import assert_recipients

        @pytest.fixture
        def server(mailauth):
            server = mailauth.smtp(security="none")
            with smtplib.SMTP(server.host, server.port, timeout=5) as client:
                client.ehlo()
                client.send(b"MAIL FROM:<a@example.test> SMTPUTF8\r\nRCPT TO:<b\xff@example.test>\r\nDATA\r\nSubject: \xfd\r\n\r\n.\r\n")
                for _ in range(4):
                    client.getreply()
            return server

        def test_recipients(server):
            assert_recipients(server, ["b@example.test"])

        def test_waiting(server):
            server.wait_for_message(to="b@example.test", timeout=0)

        def test_printing(server):
            print(server.transcript(), server.messages, server.sessions[0].entries)
            assert server.messages[0].rcpt_tos == ()

        def test_raising(server):
            raise ValueError(server.messages[0].rcpt_tos[0])
        """
    )
    result = pytester.runpytest_subprocess("-n1", "-p", "no:randomly")
    result.assert_outcomes(failed=4)
    assert r"b\xff@example.test" in result.stdout.str()
