"""Known transcripts of the IMAP engine: every one whole, byte by byte and in chosen pieces, with the same outputs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imap_session import bytewise, cut_at, deliver, merged, of, play, sent, server, steps, whole

from pytest_mailauth.model.config import IN_CLEAR, AuthPolicy
from pytest_mailauth.model.events import Command
from pytest_mailauth.servers.engines.imap.commands import COMMANDS

PREAUTH = AuthPolicy(preauthenticated=True)

TRANSCRIPTS = {
    "discovery, STARTTLS and login": (
        {"over_tls": False},
        r"""
        S: * OK [CAPABILITY {in_clear}] {ready}
        C: a1 capability
        S: * CAPABILITY {in_clear}
        S: a1 OK CAPABILITY completed
        C: a2 STARTTLS
        S: a2 OK begin TLS negotiation now
        ~~
        C: a3 CAPABILITY
        S: * CAPABILITY {in_tls}
        S: a3 OK CAPABILITY completed
        C: a4 STARTTLS
        S: a4 BAD STARTTLS is not available
        C: a5 LOGIN {user} {password}
        S: a5 OK [CAPABILITY {capable}] logged in
        C: a6 CAPABILITY
        S: * CAPABILITY {capable}
        S: a6 OK CAPABILITY completed
        C: a7 STARTTLS
        S: a7 BAD already logged in
        C: a8 LOGOUT
        S: * BYE logging out
        S: a8 OK LOGOUT completed
        S!
        """,
    ),
    "what follows STARTTLS in clear is dropped": (
        {"over_tls": False},
        r"""
        S: * OK [CAPABILITY {in_clear}] {ready}
        C: a1 STARTTLS
        C: a2 NOOP
        C: a3 LOGIN {user} {password}
        S: a1 OK begin TLS negotiation now
        ~~
        C: a4 NOOP
        S: a4 OK completed
        """,
    ),
    "credentials in clear": (
        {"over_tls": False},
        r"""
        S: * OK [CAPABILITY {in_clear}] {ready}
        C: a1 LOGIN {user} {password}
        S: a1 NO [PRIVACYREQUIRED] TLS is needed before you log in
        C: a2 AUTHENTICATE PLAIN {plain}
        S: a2 NO [PRIVACYREQUIRED] TLS is needed before you log in
        C: a3 AUTHENTICATE PLAIN
        S: a3 NO [PRIVACYREQUIRED] TLS is needed before you log in
        C: a4 AUTHENTICATE LOGIN {b64user}
        S: a4 NO [PRIVACYREQUIRED] TLS is needed before you log in
        C: a5 SELECT INBOX
        S: a5 BAD log in first
        """,
    ),
    "credentials where TLS would not help": (
        {"over_tls": True, "auth": AuthPolicy(mechanisms=("PLAIN",), password_commands="never")},
        r"""
        S: * OK [CAPABILITY {capable} AUTH=PLAIN LOGINDISABLED] {ready}
        C: a1 LOGIN {user} {password}
        S: a1 NO LOGIN is disabled
        C: a2 AUTHENTICATE LOGIN
        S: a2 NO this mechanism is disabled
        C: a3 AUTHENTICATE NTLM
        S: a3 NO no such authentication mechanism
        """,
    ),
    "everything in clear": (
        {"over_tls": False, "security": "none", "auth": IN_CLEAR},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 STARTTLS
        S: a1 BAD STARTTLS is not available
        C: a2 login {user} {password}
        S: a2 OK [CAPABILITY {capable}] logged in
        """,
    ),
    "mechanisms that are accepted but not announced": (
        {"over_tls": True, "auth": AuthPolicy(advertised=False)},
        r"""
        S: * OK [CAPABILITY {capable}] {ready}
        C: a1 AUTHENTICATE PLAIN {plain}
        S: a1 OK [CAPABILITY {capable}] logged in
        """,
    ),
    "SASL, step by step": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 AUTHENTICATE PLAIN {wrong}
        S: a1 NO [AUTHENTICATIONFAILED] authentication failed
        C: a2 AUTHENTICATE PLAIN
        C: *
        S: + {nothing}
        S: a2 BAD authentication cancelled
        C: a3 AUTHENTICATE LOGIN
        C: {b64user}
        C: not base64!
        S: + {ask_user}
        S: + {ask_password}
        S: a3 BAD the response is not base64
        C: a4 AUTHENTICATE PLAIN =
        S: a4 BAD a PLAIN message is [authzid] NUL authcid NUL passwd (RFC 4616 section 2)
        C: a5 AUTHENTICATE LOGIN {b64user}
        C: {b64password}
        S: + {ask_password}
        S: a5 OK [CAPABILITY {capable}] logged in
        C: a6 AUTHENTICATE PLAIN {plain}
        S: a6 BAD already logged in
        """,
    ),
    "LOGIN with literals": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 LOGIN {user_literal}
        C: {user} {password_literal}
        C: {password}
        S: + OK
        S: + OK
        S: a1 OK [CAPABILITY {capable}] logged in
        """,
    ),
    "LOGIN with literals that do not wait, then quoted": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 LOGIN {user_literal+}
        C: {user} "wrong \" \\ word"
        S: a1 NO [AUTHENTICATIONFAILED] authentication failed
        C: a2 LOGIN "{user}" "{password}"
        S: a2 OK [CAPABILITY {capable}] logged in
        """,
    ),
    "PREAUTH": (
        {"over_tls": False, "auth": PREAUTH},
        r"""
        S: * PREAUTH [CAPABILITY {capable}] {ready}
        C: a1 STARTTLS
        S: a1 BAD already logged in
        C: a2 EXAMINE INBOX
        S: * FLAGS ({system} $Work)
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] first unseen message
        S: * OK [PERMANENTFLAGS ()] flags that can be changed
        S: * OK [UIDNEXT 4] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: a2 OK [READ-ONLY] mailbox selected
        """,
    ),
    "states": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 FETCH 1 FLAGS
        S: a1 BAD log in first
        C: A0 LOGIN {user} {password}
        S: A0 OK [CAPABILITY {capable}] logged in
        C: a2 FETCH 1 FLAGS
        S: a2 BAD select a mailbox first
        C: a3 LOGIN x y
        S: a3 BAD already logged in
        C: a4 SELECT nowhere
        S: a4 NO [NONEXISTENT] no such mailbox
        C: a5 SELECT inbox
        S: * FLAGS ({system} $Work)
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] first unseen message
        S: * OK [PERMANENTFLAGS ({system} $Work \*)] flags that can be changed
        S: * OK [UIDNEXT 4] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: a5 OK [READ-WRITE] mailbox selected
        C: a6 CHECK
        S: a6 OK completed
        C: a7 SELECT nowhere
        S: a7 NO [NONEXISTENT] no such mailbox
        C: a8 CHECK
        S: a8 BAD select a mailbox first
        """,
    ),
    "ID": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 ID NIL
        S: * ID ("name" "pytest-mailauth")
        S: a1 OK ID completed
        C: a2 ID ("name" "sodr" "version" NIL)
        S: * ID ("name" "pytest-mailauth")
        S: a2 OK ID completed
        C: a3 ID ()
        S: * ID ("name" "pytest-mailauth")
        S: a3 OK ID completed
        C: a4 ID name
        S: a4 BAD NIL or a list expected
        """,
    ),
    "lines that are no commands": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: {nothing}
        C: NOOP
        C: a(1 NOOP
        C: a1 XYZZY now
        C: a2 IDLE
        C: a3 NOOP now
        C: a4 UID
        C: a5 UID FETCH
        C: a6 NOOP
        S: * BAD not a command
        S: * BAD not a command
        S: * BAD not a command
        S: a1 BAD unknown command
        S: a2 BAD unknown command
        S: a3 BAD unexpected text after the last argument
        S: a4 BAD unknown command
        S: a5 BAD log in first
        S: a6 OK completed
        """,
    ),
    "literals that are refused": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: a1 APPEND INBOX {10}
        S: a1 BAD log in first
        C: a2 LOGIN x {16385}
        S: a2 BAD [TOOBIG] the literal is too large
        C: a3 XYZZY {10}
        S: a3 BAD unknown command
        C: a4 NOOP {3+}
        C: abc
        S: a4 BAD unexpected text after the last argument
        C: a5 LOGIN x {20000+}
        C: {many}
        S: a5 BAD [TOOBIG] the literal is too large
        C: a6 NOOP
        S: a6 OK completed
        """,
    ),
    "mailboxes": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: A0 LOGIN {user} {password}
        S: A0 OK [CAPABILITY {capable}] logged in
        C: a1 LIST "" ""
        S: * LIST (\Noselect) "/" ""
        S: a1 OK completed
        C: a2 CREATE Work/2024/
        S: a2 OK mailbox created
        C: a3 CREATE Work
        S: a3 NO [ALREADYEXISTS] there is a mailbox of this name
        C: a4 CREATE "Entw&APw-rfe"
        S: a4 OK mailbox created
        C: a5 LIST "" *
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasNoChildren) "/" Entw&APw-rfe
        S: * LIST (\HasChildren) "/" Work
        S: * LIST (\HasNoChildren) "/" Work/2024
        S: a5 OK completed
        C: a6 LIST Work/ %
        S: * LIST (\HasNoChildren) "/" Work/2024
        S: a6 OK completed
        C: a7 DELETE Work
        S: a7 OK mailbox deleted
        C: a8 LIST "" W%
        S: * LIST (\Noselect \HasChildren) "/" Work
        S: a8 OK completed
        C: a9 DELETE Work
        S: a9 NO [NONEXISTENT] no such mailbox
        C: b1 RENAME Work/2024 Old
        S: b1 OK mailbox renamed
        C: b2 UNSUBSCRIBE Entw&APw-rfe
        S: b2 OK unsubscribed
        C: b3 LSUB "" %
        S: * LSUB (\HasNoChildren) "/" INBOX
        S: * LSUB (\HasNoChildren) "/" Old
        S: b3 OK completed
        C: b4 SUBSCRIBE Entw&APw-rfe
        S: b4 OK subscribed
        C: b5 SUBSCRIBE nowhere
        S: b5 NO [NONEXISTENT] no such mailbox
        C: b6 LSUB "" E*
        S: * LSUB (\HasNoChildren) "/" Entw&APw-rfe
        S: b6 OK completed
        C: b7 STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)
        S: * STATUS INBOX (MESSAGES 3 RECENT 0 UIDNEXT 4 UIDVALIDITY 1 UNSEEN 2)
        S: b7 OK STATUS completed
        C: b8 STATUS INBOX (SIZE)
        S: b8 BAD no such status item
        C: b9 DELETE INBOX
        S: b9 NO [CANNOT] INBOX cannot be deleted
        C: c1 RENAME INBOX Old
        S: c1 NO [ALREADYEXISTS] there is a mailbox of this name
        C: c2 RENAME INBOX Archive
        S: c2 OK messages moved
        C: c3 STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 0)
        S: c3 OK STATUS completed
        C: c4 STATUS Archive (MESSAGES UNSEEN)
        S: * STATUS Archive (MESSAGES 3 UNSEEN 2)
        S: c4 OK STATUS completed
        C: c5 CREATE 100%
        S: c5 BAD unexpected text after the last argument
        C: c6 CREATE "100%"
        S: c6 NO [CANNOT] no mailbox can have this name
        C: c7 CREATE &&
        S: c7 BAD a mailbox name in modified UTF-7 expected (RFC 3501 section 5.1.3)
        C: c8 RENAME Old Old/Older
        S: c8 NO [CANNOT] a mailbox cannot move below itself
        """,
    ),
    "APPEND": (
        {"mail": ()},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: A0 LOGIN {user} {password}
        S: A0 OK [CAPABILITY {capable}] logged in
        C: a1 APPEND nowhere {4}
        C: test
        S: + OK
        S: a1 NO [TRYCREATE] no such mailbox
        C: a2 APPEND INBOX (\Seen Big) " 1-Feb-1994 21:52:25 -0800" {23+}
        C: Subject: one
        C: {nothing}
        C: hello
        C: {nothing}
        C: a3 APPEND INBOX {0+}
        C: {nothing}
        S: a2 OK [APPENDUID 1 1] message appended
        S: a3 OK [APPENDUID 1 2] message appended
        C: a4 APPEND INBOX not-a-literal
        S: a4 BAD a string expected
        C: a5 APPEND INBOX (\Recent) {1}
        C: x
        S: + OK
        S: a5 BAD no such system flag, or not one that a client may set
        C: a6 EXAMINE INBOX
        S: * FLAGS ({system} Big)
        S: * 2 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] first unseen message
        S: * OK [PERMANENTFLAGS ()] flags that can be changed
        S: * OK [UIDNEXT 3] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: a6 OK [READ-ONLY] mailbox selected
        C: a7 FETCH 1 FULL
        S: * 1 FETCH (FLAGS (\Seen Big) INTERNALDATE " 1-Feb-1994 21:52:25 -0800" RFC822.SIZE 23 ENVELOPE (NIL "one" NIL NIL NIL NIL NIL NIL NIL NIL) BODY ("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 7 1))
        S: a7 OK FETCH completed
        """,
    ),
    "flags, copies and removal": (
        {},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: A0 LOGIN {user} {password}
        C: a1 SELECT INBOX
        S: A0 OK [CAPABILITY {capable}] logged in
        S: * FLAGS ({system} $Work)
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] first unseen message
        S: * OK [PERMANENTFLAGS ({system} $Work \*)] flags that can be changed
        S: * OK [UIDNEXT 4] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: a1 OK [READ-WRITE] mailbox selected
        C: a2 STORE 1:2 +FLAGS (\deleted $Junk)
        S: * 1 FETCH (FLAGS (\Deleted \Seen $Junk))
        S: * 2 FETCH (FLAGS (\Deleted $Junk))
        S: a2 OK STORE completed
        C: a3 STORE 3 -FLAGS.SILENT $WORK
        S: a3 OK STORE completed
        C: a4 UID STORE 1 FLAGS (\Deleted)
        S: * 1 FETCH (UID 1 FLAGS (\Deleted))
        S: a4 OK STORE completed
        C: a5 STORE 1 FLAGS ()
        S: * 1 FETCH (FLAGS ())
        S: a5 OK STORE completed
        C: a6 STORE 9 +FLAGS \Seen
        S: a6 BAD no message has this number
        C: a7 STORE 1 FLAG \Seen
        S: a7 BAD FLAGS, +FLAGS or -FLAGS expected
        C: a8 CREATE Archive
        S: a8 OK mailbox created
        C: a9 COPY 1,3 Archive
        S: a9 OK [COPYUID 2 1,3 1:2] COPY completed
        C: b1 UID COPY 77 Archive
        S: b1 OK nothing to copy
        C: b2 COPY 1 nowhere
        S: b2 NO [TRYCREATE] no such mailbox
        C: b3 UID COPY 2:* INBOX
        S: * 5 EXISTS
        S: * 0 RECENT
        S: b3 OK [COPYUID 1 2:3 4:5] COPY completed
        C: b4 UID EXPUNGE 4
        S: * 4 EXPUNGE
        S: b4 OK EXPUNGE completed
        C: b5 SEARCH DELETED
        S: * SEARCH 2
        S: b5 OK SEARCH completed
        C: b6 UID SEARCH ALL
        S: * SEARCH 1 2 3 5
        S: b6 OK SEARCH completed
        C: b7 EXPUNGE
        S: * 2 EXPUNGE
        S: b7 OK EXPUNGE completed
        C: b8 FETCH 1:* UID
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 3)
        S: * 3 FETCH (UID 5)
        S: b8 OK FETCH completed
        C: b9 STORE 1 +FLAGS.SILENT \Deleted
        S: b9 OK STORE completed
        C: c1 UNSELECT
        S: c1 OK mailbox closed
        C: c2 STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 3)
        S: c2 OK STATUS completed
        C: c3 EXAMINE INBOX
        S: * FLAGS ({system})
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 1] first unseen message
        S: * OK [PERMANENTFLAGS ()] flags that can be changed
        S: * OK [UIDNEXT 6] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: c3 OK [READ-ONLY] mailbox selected
        C: c4 STORE 1 -FLAGS \Deleted
        S: c4 NO the mailbox is open read-only
        C: c5 EXPUNGE
        S: c5 NO the mailbox is open read-only
        C: c6 FETCH 2 BODY[HEADER.FIELDS (X-Tag)]
        S: * 2 FETCH (BODY[HEADER.FIELDS (X-Tag)] {15}
        S: X-Tag: deep
        S: {nothing}
        S: )
        S: c6 OK FETCH completed
        C: c7 CLOSE
        S: c7 OK mailbox closed
        C: c8 STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 3)
        S: c8 OK STATUS completed
        C: c9 EXPUNGE
        S: c9 BAD select a mailbox first
        """,
    ),
    "a message arrives while the mailbox is selected": (
        {"mail": ()},
        r"""
        S: * OK [CAPABILITY {in_tls}] {ready}
        C: A0 LOGIN {user} {password}
        S: A0 OK [CAPABILITY {capable}] logged in
        C: a1 SELECT INBOX
        S: * FLAGS ({system})
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [PERMANENTFLAGS ({system} \*)] flags that can be changed
        S: * OK [UIDNEXT 1] next unique identifier
        S: * OK [UIDVALIDITY 1] unique identifiers are valid
        S: a1 OK [READ-WRITE] mailbox selected
        C: a2 APPEND INBOX {8+}
        C: X: y
        C: {nothing}
        C: {nothing}
        C: a3 UID FETCH 1:* (FLAGS BODY[])
        S: * 1 EXISTS
        S: * 0 RECENT
        S: a2 OK [APPENDUID 1 1] message appended
        S: * 1 FETCH (UID 1 FLAGS (\Seen) BODY[] {8}
        S: X: y
        S: {nothing}
        S: )
        S: a3 OK FETCH completed
        C: a4 CLOSE
        S: a4 OK mailbox closed
        """,
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript(name):
    config, script = TRANSCRIPTS[name]
    at_once = play(server(**config)[0], script, whole)
    in_bytes = play(server(**config)[0], script, bytewise)
    assert merged(in_bytes) == merged(at_once)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(TRANSCRIPTS)), cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_transcript_in_any_pieces(name, cuts):
    config, script = TRANSCRIPTS[name]
    at_once = play(server(**config)[0], script, whole)
    assert merged(play(server(**config)[0], script, cut_at(cuts))) == merged(at_once)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_transcript_pipelined(name):
    """The client sends everything at once, without waiting for any reply."""
    config, script = TRANSCRIPTS[name]
    waiting, eager = server(**config)[0], server(**config)[0]
    outputs, data = waiting.greet(), b""
    eager.greet()
    for side, block in steps(script):
        if side == "~~":
            break
        if side == "C:":
            outputs += deliver(waiting, [block])
            data += block
    replies = merged(outputs[1:])
    assert merged(deliver(eager, [data])) == replies
    assert sent(replies)


def test_every_command_stands_in_a_transcript():
    seen = set()
    for config, script in TRANSCRIPTS.values():
        seen |= {command.verb for command in of(play(server(**config)[0], script), Command)}
    assert set(COMMANDS) <= seen
