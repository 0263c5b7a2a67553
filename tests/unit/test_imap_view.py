"""The selected mailbox under the eyes of one session, while others change it."""

from imap_session import ALICE, SMALL_MAIL, inbox, logged_in, run, server, untagged
from imap_session import PASSWORD as WORD

from pytest_mailauth.servers.engines.imap import ImapEngine
from pytest_mailauth.servers.letters import Message


def two_sessions():
    """Return two engines on one store, both with INBOX selected."""
    first, store = logged_in()
    second = ImapEngine(first._policy, store, over_tls=True)
    second.greet()
    run(second, f"a LOGIN {ALICE.username} {WORD}", "a SELECT INBOX")
    return first, second, store


def test_a_delivered_message_is_announced_with_the_next_command():
    engine, store = logged_in()
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    assert untagged(engine, "a NOOP") == b"* 4 EXISTS\r\n* 0 RECENT"
    assert untagged(engine, "a NOOP") == b""


def test_it_is_announced_behind_the_data_of_that_command():
    engine, store = logged_in()
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    assert untagged(engine, "a FETCH 3 UID") == b"* 3 FETCH (UID 3)\r\n* 4 EXISTS\r\n* 0 RECENT"
    assert untagged(engine, "a UID FETCH 4 FLAGS") == b"* 4 FETCH (UID 4 FLAGS ())"


def test_removals_of_another_session_wait_for_a_command_that_may_tell_them():
    first, second, store = two_sessions()
    run(first, "a STORE 1,3 +FLAGS.SILENT (\\Deleted)")
    assert untagged(second, "a NOOP") == (
        b"* 1 FETCH (FLAGS (\\Deleted \\Seen))\r\n* 3 FETCH (FLAGS (\\Flagged \\Deleted $Work))"
    )
    assert untagged(first, "a EXPUNGE") == b"* 1 EXPUNGE\r\n* 2 EXPUNGE"
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    # The numbers still mean what they meant: FETCH, STORE and SEARCH may not tell of a removal.
    assert untagged(second, "a FETCH 3 UID") == b"* 3 FETCH (UID 3)\r\n* 4 EXISTS\r\n* 0 RECENT"
    assert untagged(second, "a SEARCH ALL") == b"* SEARCH 1 2 3 4"
    assert b"EXPUNGE" not in run(second, "a STORE 3 +FLAGS (x)")
    assert untagged(second, "a NOOP") == b"* 1 EXPUNGE\r\n* 2 EXPUNGE"
    assert untagged(second, "a FETCH 1:* UID") == b"* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 4)"


def test_flags_are_told_once():
    first, second, _ = two_sessions()
    run(first, "a STORE 2 +FLAGS (\\Answered)")
    assert untagged(second, "a NOOP") == b"* 2 FETCH (FLAGS (\\Answered))"
    assert untagged(second, "a NOOP") == b""
    run(first, "a FETCH 2 BODY[]")
    assert untagged(second, "a FETCH 2 FLAGS") == b"* 2 FETCH (FLAGS (\\Answered \\Seen))"
    assert untagged(second, "a NOOP") == b""


def test_a_message_that_came_and_went_is_never_told():
    engine, store = logged_in()
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    del inbox(store).messages[-1]
    assert untagged(engine, "a NOOP") == b""
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    assert untagged(engine, "a NOOP") == b"* 4 EXISTS\r\n* 0 RECENT"
    assert untagged(engine, "a FETCH 4 UID") == b"* 4 FETCH (UID 5)"


def test_the_last_message_goes_and_another_comes():
    engine, store = logged_in()
    del inbox(store).messages[-1]
    store.deliver(Message(SMALL_MAIL, rcpt_tos=(ALICE.address,)))
    assert untagged(engine, "a NOOP") == b"* 3 EXPUNGE\r\n* 3 EXISTS\r\n* 0 RECENT"


def test_renaming_the_selected_inbox_empties_it():
    engine, store = logged_in()
    assert untagged(engine, "a RENAME INBOX Archive") == b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE"
    assert len(store.mailboxes(ALICE)["Archive"].messages) == 3


def test_the_selected_mailbox_may_be_deleted_by_another_session():
    first, second, _ = two_sessions()
    run(first, "a CREATE x", "a COPY 1:* x")
    run(second, "a SELECT x")
    run(first, "a DELETE x")
    assert untagged(second, "a FETCH 1 UID") == b"* 1 FETCH (UID 1)"
    assert run(second, "a SELECT x") == b"a NO [NONEXISTENT] no such mailbox\r\n"


def test_sequence_numbers_must_exist_and_uids_need_not():
    engine, _ = logged_in()
    assert run(engine, "a FETCH 4 UID") == b"a BAD no message has this number\r\n"
    assert run(engine, "a FETCH 2:9 UID") == b"a BAD no message has this number\r\n"
    assert untagged(engine, "a FETCH *:3 UID") == b"* 3 FETCH (UID 3)"
    assert untagged(engine, "a UID FETCH 7,9:12 FLAGS") == b""
    assert untagged(engine, "a UID FETCH 1:4294967295 UID").count(b"FETCH") == 3
    assert untagged(engine, "a UID FETCH 900:* UID") == b"* 3 FETCH (UID 3)"


def test_an_empty_mailbox():
    engine, _ = logged_in(mail=())
    assert run(engine, "a FETCH 1:* UID") == b"a OK FETCH completed\r\n"
    assert run(engine, "a FETCH 1 UID") == b"a BAD no message has this number\r\n"
    assert run(engine, "a UID FETCH 1:* UID") == b"a OK FETCH completed\r\n"
    assert run(engine, "a COPY 1:* INBOX") == b"a NO nothing to copy\r\n"


def test_renaming_does_not_overwrite():
    engine, store = logged_in(select="")
    run(engine, *["a CREATE a/x", "a CREATE b/x", "a DELETE b"])
    assert run(engine, "a RENAME a b") == b"a NO [ALREADYEXISTS] there is a mailbox of this name\r\n"
    assert run(engine, "a RENAME a c") == b"a OK mailbox renamed\r\n"
    assert sorted(store.mailboxes(ALICE)) == ["INBOX", "b/x", "c", "c/x"]
    assert {name: box.name for name, box in store.mailboxes(ALICE).items()}["c/x"] == "c/x"


def test_names_that_can_be_created_and_names_that_cannot():
    engine, _ = logged_in(select="")
    assert run(engine, "a CREATE " + "x" * 256) == b"a NO [CANNOT] no mailbox can have this name\r\n"
    assert run(engine, "a CREATE a", "a CREATE a/b") == b"a OK mailbox created\r\n" * 2
    assert run(engine, "a CREATE a//b") == b"a NO [CANNOT] no mailbox can have this name\r\n"


def test_accounts_do_not_see_each_other():
    engine, store = server()
    engine.greet()
    bob = store.accounts[1]
    run(engine, f"a LOGIN {bob.username} {bob.password!s}")
    assert untagged(engine, "a STATUS INBOX (MESSAGES)") == b"* STATUS INBOX (MESSAGES 0)"
