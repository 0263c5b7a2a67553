"""What an SMTP server takes from whom: relaying, single recipients and senders, limits, greylisting, keywords."""

from __future__ import annotations

import re

import pytest
from smtp_session import ALICE, PLAIN, codes, facts, replies, talk

from pytest_mailauth.model.config import AuthPolicy
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.events import Malformed
from pytest_mailauth.model.relay import KEYWORDS, REQUIRETLS, RelayPolicy
from pytest_mailauth.servers import relaying

LOCAL, FOREIGN = "bob@example.test", "carol@elsewhere.test"
LOGIN = ("EHLO client.test", f"AUTH PLAIN {PLAIN}")
HELLO = ("EHLO client.test",)


def said(*lines, relay=None, **settings):
    """Return the replies to *lines* after the greeting, one a command, and the store."""
    data = "".join(f"{line}\r\n" for line in lines).encode()
    outputs, store = talk(data, relay=relay or RelayPolicy(), **settings)
    return [reply for reply in replies(outputs) if not reply.startswith("250-")], store


def last(*lines, **settings):
    return said(*lines, **settings)[0][-1]


def mail(*recipients, sender=ALICE.address):
    return (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients))


MESSAGE = ("DATA", "Subject: x", "", "Hello", ".")


@pytest.mark.parametrize(
    ("relay", "before", "recipient", "code"),
    [
        ("authenticated", HELLO, LOCAL, "250"),
        ("authenticated", HELLO, LOCAL.upper(), "250"),
        ("authenticated", HELLO, FOREIGN, "550"),
        ("authenticated", HELLO, f"carol@example.test.{FOREIGN.partition('@')[2]}", "550"),
        ("authenticated", LOGIN, FOREIGN, "250"),
        ("local", LOGIN, FOREIGN, "550"),
        ("local", HELLO, LOCAL, "250"),
        ("open", HELLO, FOREIGN, "250"),
    ],
)
def test_relaying(relay, before, recipient, code):
    reply = last(*before, *mail(recipient), relay=RelayPolicy(relay=relay))
    assert reply[:3] == code
    if code == "550":
        assert reply.startswith(f"550 5.7.1 <{recipient}>: relaying denied")


@pytest.mark.parametrize("relay", ["open", "authenticated"])
def test_nobody_is_no_recipient(relay):
    assert last(*LOGIN, *mail(""), relay=RelayPolicy(relay=relay)) == "553 5.1.3 A recipient has an address"


def test_login_first():
    policy = RelayPolicy(login_first=True)
    assert last(*HELLO, *mail(), relay=policy) == "530 5.7.0 Authentication required"
    assert last(*LOGIN, *mail(), relay=policy) == "250 2.1.0 OK"


def test_single_recipients_and_the_envelope_of_the_others():
    policy = RelayPolicy(recipients={"bad@example.test": "550 5.1.1 no such user", "slow@example.test": "451 later"})
    answers, store = said(*HELLO, *mail(LOCAL, "bad@example.test", "slow@example.test"), *MESSAGE, relay=policy)
    assert answers[-5:-2] == ["250 2.1.5 OK", "550 5.1.1 no such user", "451 later"]
    assert store.submitted[0].rcpt_tos == (LOCAL,)


def test_the_words_of_a_test_are_sent_as_they_stand():
    policy = RelayPolicy(
        recipients={LOCAL: "251 2.1.5 will forward", FOREIGN: "250 fine"}, senders={ALICE.address: "250 welcome"}
    )
    sender, *recipients = mail(LOCAL, FOREIGN)
    answers, store = said(*HELLO, f"{sender} SIZE=20", *recipients, *MESSAGE, relay=policy)
    assert answers[1:4] == ["250 welcome", "251 2.1.5 will forward", "250 fine"]
    assert (store.submitted[0].mail_from, store.submitted[0].rcpt_tos) == (ALICE.address, (LOCAL, FOREIGN))


def test_a_refused_login_in_the_words_of_a_test():
    auth = AuthPolicy(reject="invalid", texts={"invalid": "501 go away"})
    assert last(*LOGIN, auth=auth) == "501 go away"


@pytest.mark.parametrize(
    ("settings", "sender", "recipient", "code"),
    [
        ({"domains": ("Example.TEST",)}, "x@y.test", LOCAL, "250"),
        ({"recipients": {"bob@Example.Test": "451 later"}}, "x@y.test", "bob@EXAMPLE.test", "451"),
        ({"recipients": {"bob@example.test": "451 later"}}, "x@y.test", "BOB@example.test", "250"),
        ({"known_recipients": ("bob@EXAMPLE.test",)}, "x@y.test", "bob@example.TEST", "250"),
        ({"known_recipients": ("bob@example.test",)}, "x@y.test", "Bob@example.test", "550"),
        ({"senders": {"X@Y.test": "550 5.7.1 no"}}, "X@y.TEST", LOCAL, "503"),
        ({"senders": {"X@y.test": "550 5.7.1 no"}}, "x@y.test", LOCAL, "250"),
        ({"senders": {"<>": "550 5.7.1 no"}}, "", LOCAL, "503"),
        ({}, "x@y.test", "postmaster", "250"),
        ({"relay": "local"}, "x@y.test", "PostMaster", "250"),
        ({"recipients": {"Postmaster": "451 later"}}, "x@y.test", "postMASTER", "451"),
        ({"recipients": {"postmaster@example.test": "451 later"}}, "x@y.test", "Postmaster@Example.test", "451"),
        ({"known_recipients": ("bob@example.test",)}, "x@y.test", "postmaster", "550"),
        ({"known_recipients": ("postmaster",)}, "x@y.test", "Postmaster", "250"),
        ({}, "x@y.test", "bob", "550"),
        ({}, "x@y.test", "example.test", "550"),
        ({"recipients": {"bob": "451 later"}}, "x@y.test", "bob", "451"),
        ({"recipients": {'"b o"@example.test': "451 later"}}, "x@y.test", '"b o"@EXAMPLE.test', "451"),
    ],
)
def test_how_addresses_are_compared(settings, sender, recipient, code):
    assert last(*HELLO, *mail(recipient, sender=sender), relay=RelayPolicy(**settings))[:3] == code


def test_the_own_sender_is_known_in_another_case_of_its_domain():
    local, _, domain = ALICE.address.partition("@")
    policy = RelayPolicy(own_sender=True)
    assert last(*LOGIN, *mail(sender=f"{local}@{domain.upper()}"), relay=policy)[:3] == "250"
    assert last(*LOGIN, *mail(sender=f"{local.upper()}@{domain}"), relay=policy)[:3] == "553"


def test_no_valid_recipients():
    policy = RelayPolicy(known_recipients=(ALICE.address,))
    answers, store = said(*HELLO, *mail(LOCAL), "DATA", relay=policy)
    assert answers[-2:] == [f"550 5.1.1 <{LOCAL}>: no such recipient", "554 5.5.1 No valid recipients"]
    assert store.submitted == []
    assert last(*HELLO, *mail(), "DATA", relay=policy).startswith("503")


def test_senders():
    policy = RelayPolicy(senders={"spam@example.test": "550 5.7.1 go away"}, own_sender=True)
    assert last(*HELLO, *mail(sender="spam@example.test"), relay=policy) == "550 5.7.1 go away"
    assert last(*LOGIN, *mail(sender="bob@example.test"), relay=policy).startswith("553 5.7.1 <bob@example.test>")
    assert last(*LOGIN, *mail(), relay=policy) == "250 2.1.0 OK"


def test_greylisting_remembers_sender_and_recipient():
    policy = RelayPolicy(greylist=1)
    once, again = mail(LOCAL)
    answers, _ = said(*HELLO, once, again, again, "RSET", once, again, relay=policy)
    assert [answer[:3] for answer in answers[1:]] == ["250", "451", "250", "250", "250", "250"]


@pytest.mark.parametrize(("greylist", "remembered"), [(0, 0), (1, 3)])
def test_greylisting_remembers_no_more_than_it_needs(monkeypatch, greylist, remembered):
    monkeypatch.setattr(relaying, "MOST_PAIRS", 3)
    memory = relaying.Relaying(RelayPolicy(greylist=greylist), logins=None)
    first, *others = ("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test")
    early = [memory.is_too_early(ALICE.address, recipient) for recipient in (first, *others[:2], first, *others)]
    assert early == ([False] * 8 if not greylist else [True, True, True, False, False, False, True, True])
    assert len(memory._seen) == remembered


def test_limits():
    policy = RelayPolicy(max_recipients=1, max_messages=1, max_size=30)
    answers, store = said(*HELLO, *mail(LOCAL, ALICE.address), *MESSAGE, *mail(), relay=policy)
    assert answers[-4:-2] == ["452 4.5.3 Too many recipients", "354 End data with <CR><LF>.<CR><LF>"]
    assert answers[-1] == "452 4.3.1 Too many messages in this session"
    assert len(store.submitted) == 1
    assert last(*HELLO, f"MAIL FROM:<{LOCAL}> SIZE=31", relay=policy).startswith("552 5.3.4 ")
    large, store = said(*HELLO, *mail(LOCAL), "DATA", "x" * 40, ".", relay=policy)
    assert (large[-1][:3], store.submitted) == ("552", [])


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_each_keyword_can_be_switched_off(keyword):
    others = tuple(other for other in KEYWORDS if other != keyword)
    outputs, _ = talk(b"EHLO client.test\r\n", relay=RelayPolicy(keywords=others))
    announced = {reply[4:].partition(" ")[0] for reply in replies(outputs)}
    assert set(others) <= announced
    assert keyword not in announced


def test_nothing_is_announced_without_keywords():
    bare = RelayPolicy(keywords=())
    assert said(*LOGIN, relay=bare)[0][1] == "235 Authentication successful"
    assert codes(talk(b"EHLO client.test\r\n", relay=bare)[0]) == ["250"]


@pytest.mark.parametrize(
    ("keyword", "command", "refusal"),
    [
        ("SIZE", f"MAIL FROM:<{LOCAL}> SIZE=10", "555 5.5.4"),
        ("SIZE", f"MAIL FROM:<{LOCAL}> SIZE=99999999", "555 5.5.4"),
        ("8BITMIME", f"MAIL FROM:<{LOCAL}> BODY=8BITMIME", "555 5.5.4"),
        ("SMTPUTF8", f"MAIL FROM:<{LOCAL}> SMTPUTF8", "555 5.5.4"),
        ("SMTPUTF8", "MAIL FROM:<böb@example.test> SMTPUTF8", "555 5.5.4"),
        ("HELP", "HELP", "502 5.5.1"),
        ("HELP", "HELP MAIL", "502 5.5.1"),
    ],
)
def test_what_is_switched_off_is_not_meant(keyword, command, refusal):
    others = tuple(other for other in KEYWORDS if other != keyword)
    assert last(*HELLO, command, relay=RelayPolicy(keywords=others)).startswith(f"{refusal} ")
    assert last(*HELLO, command, relay=RelayPolicy(keywords=(keyword,)))[:3] in ("250", "552")


@pytest.mark.parametrize(
    ("offered", "over_tls", "parameter", "code"),
    [
        (True, True, "REQUIRETLS", "250"),
        (True, True, "requiretls", "250"),
        (True, True, "REQUIRETLS=1", "555"),
        (True, False, "REQUIRETLS", "555"),
        (False, True, "REQUIRETLS", "555"),
    ],
)
def test_requiretls_is_there_inside_tls_alone_where_it_is_asked_for(offered, over_tls, parameter, code):
    relay = RelayPolicy(keywords=(*KEYWORDS, REQUIRETLS)) if offered else RelayPolicy()
    outputs, _ = talk(b"EHLO client.test\r\n", relay=relay, over_tls=over_tls)
    assert (REQUIRETLS in {reply[4:] for reply in replies(outputs)}) == (offered and over_tls)
    assert last(*HELLO, f"MAIL FROM:<{LOCAL}> {parameter}", relay=relay, over_tls=over_tls)[:3] == code


@pytest.mark.parametrize("keywords", [KEYWORDS, ()])
@pytest.mark.parametrize("hello", ["EHLO", "HELO"])
def test_without_the_parameter_smtputf8_addresses_are_ascii(keywords, hello):
    policy = RelayPolicy(relay="open", keywords=keywords)
    answers, _ = said(f"{hello} x", *mail(sender="böb@x.test"), *mail("böb@x.test", "bob@x.test"), relay=policy)
    assert [answer[:3] for answer in answers[1:]] == ["550", "250", "553", "250"]
    assert ("5.6.7" in answers[1], "5.6.7" in answers[3]) == (bool(keywords), bool(keywords))
    answers, _ = said("EHLO x", *mail("böb@x.test"), "DATA", relay=policy)
    assert answers[-1][:3] == "554"


def test_a_message_beyond_ascii_is_taken_and_noted_where_8bitmime_is_not_offered():
    for keywords, text, noted in ((KEYWORDS, "Grüße", False), ((), "Hello", False), ((), "Grüße", True)):
        data = "\r\n".join((*HELLO, *mail(LOCAL), "DATA", text, ".", "")).encode()
        outputs, store = talk(data, relay=RelayPolicy(keywords=keywords))
        assert store.submitted[0].content == f"{text}\r\n".encode()
        assert bool(facts(outputs, Malformed)) is noted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relay": "closed"}, "relay='closed' is not known"),
        ({"keywords": ("BINARYMIME",)}, "'BINARYMIME' is not known"),
        ({"recipients": {"a@b.test": "no such user"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "354 go"}}, "begins with 2, 4 or 5"),
        ({"senders": {"a@b.test": "250 a\r\n250 b"}}, "without control characters"),
        ({"senders": {"a@b.test": "250 a\tb"}}, "without control characters"),
        ({"senders": {"a@b.test": "250 \ud800"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "2501 more"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "560 no"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "250-more"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "\u06625\u0660 ok"}}, "is no SMTP reply"),
        ({"recipients": {"a@b.test": "250 ok", "a@B.test": "550 no"}}, "recipients: one address has two replies"),
        ({"recipients": {"<a@b.test>": "550 no"}}, "recipients: '<a@b.test>' is no mail address; give it without"),
        ({"recipients": {"<>": "550 no"}}, "recipients: '<>' is no mail address"),
        ({"senders": {"Bob <a@b.test>": "550 no"}}, "senders: 'Bob <a@b.test>' is no mail address"),
        ({"senders": {"": "550 no"}}, "senders: '' is no mail address"),
        ({"known_recipients": ("<a@b.test>",)}, "known_recipients: '<a@b.test>' is no mail address"),
        ({"known_recipients": ("@b.test",)}, "known_recipients: '@b.test' is no mail address"),
        ({"domains": ("",)}, "domains: '' is no domain; give each one in full"),
        ({"domains": ("b.test", "@b.test")}, "domains: '@b.test' is no domain"),
        ({"domains": ("*.b.test",)}, "is no domain"),
        ({"domains": (".b.test",)}, "is no domain"),
        ({"max_recipients": 0}, "max_recipients=0 must be at least 1"),
        ({"greylist": -1}, "greylist=-1 must be at least 0"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        RelayPolicy(**settings)
