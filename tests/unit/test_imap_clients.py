"""The IMAP engine judged by real clients, imaplib and IMAPClient, over a socket pair."""

import imaplib
import re
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from imap_session import ALICE, MAIL, PASSWORD, PLAIN_MAIL, inbox, server
from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.events import Authentication, Malformed
from pytest_mailauth.servers.engines.contract import Close, Send

DEADLINE = 5


class Served:
    """An engine behind one end of a socket pair; the other end is for a client."""

    def __init__(self, **config):
        self.engine, self.store = server(**{"over_tls": True, **config})
        self.outputs = []
        self.near, self.far = socket.socketpair()
        self.near.settimeout(DEADLINE)
        self.far.settimeout(DEADLINE)
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        with self.near:
            outputs = self.engine.greet()
            while self.write(outputs):
                data = self.near.recv(65536)
                outputs = self.engine.receive(data) if data else [*self.engine.eof(), Close()]

    def write(self, outputs):
        self.outputs += outputs
        for output in outputs:
            if isinstance(output, Send):
                self.near.sendall(output.data)
        return Close() not in outputs


@contextmanager
def serving(**config):
    served = Served(**config)
    served.thread.start()
    try:
        yield served
    finally:
        served.far.close()
        served.thread.join(DEADLINE)
        assert not served.thread.is_alive()
    assert not [fact for fact in served.outputs if isinstance(fact, Malformed)]


class Imaplib(imaplib.IMAP4):
    def __init__(self, connection):
        self.connection = connection
        super().__init__("localhost", timeout=DEADLINE)

    def _create_socket(self, _timeout):
        return self.connection


@contextmanager
def stdlib(**config):
    with serving(**config) as served, Imaplib(served.far) as client:
        yield client, served


@contextmanager
def imapclient(**config):
    class Client(IMAPClient):
        def _create_IMAP4(self):  # noqa: N802
            return Imaplib(served.far)

    with serving(**config) as served:
        client = Client("localhost", ssl=False, timeout=DEADLINE)
        try:
            yield client, served
        finally:
            client.logout()


def ok(answer):
    status, data = answer
    assert status == "OK"
    return data


def test_imaplib_reads_a_mailbox():
    with stdlib() as (client, served):
        assert client.capabilities[:2] == ("IMAP4REV1", "SASL-IR")
        ok(client.login(ALICE.username, PASSWORD))
        assert ok(client.list()) == [b'(\\HasNoChildren) "/" INBOX']
        assert ok(client.select()) == [b"3"]
        assert client.response("UIDVALIDITY") == ("UIDVALIDITY", [b"1"])
        assert ok(client.search(None, "FROM", '"bob"')) == [b"2 3"]
        assert ok(client.uid("SEARCH", "UNSEEN")) == [b"2 3"]
        ((header, content), end) = ok(client.fetch("1", "(RFC822)"))
        assert (header, content, end) == (b"1 (RFC822 {%d}" % len(PLAIN_MAIL), PLAIN_MAIL, b")")
        assert ok(client.store("2", "+FLAGS", "\\Deleted")) == [b"2 (FLAGS (\\Deleted))"]
        assert ok(client.expunge()) == [b"2"]
        assert len(inbox(served.store).messages) == 2
        ok(client.close())


def test_imaplib_writes_a_mailbox():
    with stdlib(mail=()) as (client, served):
        ok(client.login(ALICE.username, PASSWORD))
        ok(client.create("Work"))
        moment = datetime(2024, 2, 1, 9, 30, 5, tzinfo=UTC)
        data = ok(client.append("Work", "(\\Seen)", imaplib.Time2Internaldate(moment), b"Subject: x\n\nbody\n"))
        assert data == [b"[APPENDUID 2 1] message appended"]
        (stored,) = served.store.mailboxes(ALICE)["Work"].messages
        assert (stored.content, stored.flags) == (b"Subject: x\r\n\r\nbody\r\n", {"\\Seen"})
        assert stored.internal_date == moment
        ok(client.select("Work"))
        ok(client.copy("1", "INBOX"))
        assert ok(client.status("INBOX", "(MESSAGES UNSEEN)")) == [b"INBOX (MESSAGES 1 UNSEEN 0)"]
        ok(client.rename("Work", "Old"))
        ok(client.subscribe("Old"))
        assert ok(client.lsub()) == [b'(\\HasNoChildren) "/" INBOX', b'(\\HasNoChildren) "/" Old']
        ok(client.unsubscribe("Old"))
        ok(client.unselect())
        ok(client.delete("Old"))
        assert ok(client.noop()) == [b"completed"]


def test_imaplib_logs_in_with_sasl():
    with stdlib() as (client, served):
        answers = iter([ALICE.username.encode(), PASSWORD.encode()])
        ok(client.authenticate("LOGIN", lambda _: next(answers)))
        (seen,) = [fact for fact in served.outputs if isinstance(fact, Authentication)]
        assert seen == Authentication("LOGIN", ALICE.username, ALICE.password, accepted=True)


@pytest.mark.parametrize(
    ("config", "code"),
    [({"over_tls": False}, "PRIVACYREQUIRED"), ({"over_tls": False, "auth": IN_CLEAR}, "AUTHENTICATIONFAILED")],
)
def test_imaplib_is_told_why_it_may_not_log_in(config, code):
    with stdlib(**config) as (client, _), pytest.raises(imaplib.IMAP4.error, match=code):
        client.login(ALICE.username, "wrong")


def test_imapclient_reads_a_mailbox():
    with imapclient() as (client, _):
        with pytest.raises(LoginError, match="AUTHENTICATIONFAILED"):
            client.login(ALICE.username, "wrong")
        client.plain_login(ALICE.username, PASSWORD)
        assert client.has_capability("UIDPLUS")
        assert client.id_({"name": "test"}) == ((b"name", b"pytest-mailauth"),)
        assert client.list_folders() == [((b"\\HasNoChildren",), b"/", "INBOX")]
        selected = client.select_folder("INBOX")
        assert (selected[b"EXISTS"], selected[b"UIDNEXT"], selected[b"READ-WRITE"]) == (3, 4, True)
        assert client.search("UNSEEN") == [2, 3]
        assert client.search(["SUBJECT", "Grüße"], "UTF-8") == [3]
        data = client.fetch(
            [1, 2, 3], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[]"]
        )
        assert [data[uid][b"BODY[]"] for uid in (1, 2, 3)] == [content for content, _, _ in MAIL]
        envelope = data[1][b"ENVELOPE"]
        assert envelope.subject == b"afternoon meeting"
        assert str(envelope.from_[0]) == "Fred Foobar <foobar@Blurdybloop.test>"
        assert data[2][b"BODYSTRUCTURE"][:2] == (b"TEXT", b"PLAIN")
        assert data[3][b"FLAGS"] == (b"\\Flagged", b"$Work")
        assert client.folder_status("INBOX", ["MESSAGES"]) == {b"MESSAGES": 3}


def test_imapclient_writes_a_mailbox():
    with imapclient() as (client, served):
        client.login(ALICE.username, PASSWORD)
        client.create_folder("Entwürfe/Neu")
        assert [name for _, _, name in client.list_folders()] == ["INBOX", "Entwürfe", "Entwürfe/Neu"]
        reply = client.append("Entwürfe", PLAIN_MAIL, flags=["\\Draft"], msg_time=datetime(2024, 2, 1, tzinfo=UTC))
        assert re.search(rb"\[APPENDUID 2 1\]", reply)
        client.select_folder("INBOX")
        assert client.add_flags([1], ["\\Answered"]) == {1: (b"\\Answered", b"\\Seen")}
        client.copy([1, 3], "Entwürfe")
        client.delete_messages([3])
        client.uid_expunge([3])
        assert client.search() == [1, 2]
        client.unselect_folder()
        assert client.folder_exists("Entwürfe/Neu")
        client.rename_folder("Entwürfe", "Alt")
        assert sorted(served.store.mailboxes(ALICE)) == ["Alt", "Alt/Neu", "INBOX"]
        assert len(served.store.mailboxes(ALICE)["Alt"].messages) == 3
