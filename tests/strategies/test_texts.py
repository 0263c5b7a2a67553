"""What is drawn is valid where it says so: whoever else reads it agrees, be it a parser, a server or a client."""

from __future__ import annotations

import email
import imaplib
import io
import ipaddress
import re
import smtplib
from email.headerregistry import Address
from email.policy import SMTP

import pytest
from drawing import drawn
from hypothesis import given, settings
from scramp.core import saslprep

from pytest_mailauth import AuthPolicy, RelayPolicy, strategies
from pytest_mailauth.model.deviations import Announce, Answer
from pytest_mailauth.strategies import credentials

many = settings(max_examples=200, deadline=None, derandomize=True, database=None)
live = settings(max_examples=60, deadline=None, derandomize=True, database=None)
TIMEOUT = 5


# Names.


@many
@given(name=strategies.hostnames())
def test_a_host_name_can_be_asked_for_in_dns(name):
    try:
        assert ipaddress.ip_address(name)
    except ValueError:
        ascii_name = name.encode("idna").decode().removesuffix(".")
        assert len(ascii_name) <= 253
        assert all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", label) for label in ascii_name.split("."))


@many
@given(name=strategies.hostnames())
def test_nobody_owns_a_host_name(name):
    last = name.rstrip(".").rpartition(".")[2].lower()
    try:
        here = ipaddress.ip_address(name)
    except ValueError:
        assert last in ("test", "invalid", "localhost")
    else:
        assert (getattr(here, "ipv4_mapped", None) or here).is_loopback


def test_a_server_takes_every_mail_address(mailauth):
    addresses = drawn(strategies.mail_addresses(), 300).values
    server = mailauth.smtp(security="none", relay=RelayPolicy(relay="open"))
    with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as smtp:
        smtp.ehlo("client.test")
        smtp.command_encoding = "utf-8"
        for address in addresses:
            assert smtp.docmd("RSET")[0] == 250
            assert smtp.docmd("MAIL", "FROM:<> SMTPUTF8")[0] == 250
            assert smtp.docmd("RCPT", f"TO:<{address}>")[0] == 250, address


@many
@given(address=strategies.mail_addresses(utf8=False))
def test_a_mail_address_in_ascii_is_what_a_parser_of_headers_reads(address):
    assert address.isascii()
    local, _, domain = address.rpartition("@")
    if "[" not in domain:
        parsed = Address(addr_spec=address)
        unquoted = re.sub(r"\\(.)", r"\1", local[1:-1]) if local[0] == '"' else local
        assert (parsed.username, parsed.domain) == (unquoted, domain)


# Credentials.


@pytest.mark.parametrize("make", [strategies.usernames, strategies.passwords])
def test_sound_credentials_are_the_same_to_every_mechanism(make):
    for text in drawn(make(sound=True), 200).values:
        assert re.fullmatch("[ -~]+", text)
        assert saslprep(text) == text


@pytest.mark.parametrize("text", credentials.MAPPED)
def test_what_saslprep_maps(text):
    assert saslprep(text) != text


@pytest.mark.parametrize("text", credentials.PROHIBITED)
def test_what_saslprep_prohibits(text):
    with pytest.raises(Exception, match=r"(?i)forbidden|bidi"):
        saslprep(text)


@live
@given(username=strategies.usernames(sound=True), password=strategies.passwords(sound=True))
def test_sound_credentials_reach_a_server_as_they_are(mailauth_factory, username, password):
    claimed = []
    policy = AuthPolicy(mechanisms=("PLAIN",), decide=lambda claim: claimed.append((claim.identity, str(claim.secret))))
    with mailauth_factory.smtp(security="implicit", auth=policy) as server:
        smtp = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=server.ssl_context())
        with smtp, pytest.raises(smtplib.SMTPAuthenticationError):  # no account has this name
            smtp.login(username, password)
    assert claimed == [(username, password)]


@many
@given(token=strategies.bearer_tokens(sound=True))
def test_a_bearer_token_has_the_form_of_one(token):
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)


def test_what_is_no_token_has_not():
    for token in drawn(strategies.bearer_tokens(sound=False), 50).values:
        assert not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)


# What servers say.


def read_by_smtplib(reply):
    client = smtplib.SMTP()
    client.file = io.BytesIO(reply)
    return (*client.getreply(), client.file.read())


@many
@given(reply=strategies.smtp_replies(valid=True))
def test_a_valid_reply_is_one_to_smtplib(reply):
    code, text, rest = read_by_smtplib(reply)
    assert (200 <= code < 600, rest) == (True, b"")
    lines = reply.removesuffix(b"\r\n").split(b"\r\n")
    assert text == b"\n".join(line[4:].strip() for line in lines)
    assert all(len(line) <= 510 for line in lines)


@live
@given(response=strategies.imap_responses(valid=True))
def test_a_valid_untagged_response_is_one_to_imaplib(mailauth_factory, response):
    said = Answer(verb="NOOP", reply=response + b"{tag} OK done\r\n")
    with mailauth_factory.imap(security="none", deviations=(said,)) as server:
        client = imaplib.IMAP4(server.host, server.port, timeout=TIMEOUT)
        try:
            if response.startswith(b"* BYE"):  # after which this client reads nothing
                with pytest.raises(imaplib.IMAP4.abort):
                    client.noop()
            else:
                assert client.noop() == ("OK", [b"done"])
                assert client.untagged_responses
        finally:
            client.shutdown()


@many
@given(lines=strategies.capability_lists())
def test_a_capability_list_can_be_announced(mailauth_factory, lines):
    server = mailauth_factory.smtp(security="none", deviations=(Announce(lines=lines),))
    with server, smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as smtp:
        reply = smtp.ehlo("client.test")[1].decode().split("\n")
    assert set(lines) <= {*reply}


# Messages.


def has_bare_line_end(data):
    return re.search(rb"\r(?!\n)|(?<!\r)\n", data) is not None


def longest_line(data):
    return max(map(len, data.split(b"\r\n")))


@many
@given(data=strategies.messages(valid=True))
def test_a_valid_message_may_be_sent(data):
    assert not has_bare_line_end(data)
    assert longest_line(data) <= 998
    message = email.message_from_bytes(data, policy=SMTP)
    assert [part.defects for part in message.walk() if part.defects] == []
    assert (message["From"], message["To"]) == ("alice@example.test", "bob@example.test")


def test_the_others_may_not():
    for data in drawn(strategies.messages(valid=False), 50).values:
        assert has_bare_line_end(data) or longest_line(data) > 998


@live
@given(data=strategies.messages(valid=True))
def test_a_valid_message_arrives_as_it_is(mailauth_factory, data):
    with mailauth_factory.smtp(security="none") as server:
        with smtplib.SMTP(server.host, server.port, timeout=TIMEOUT) as smtp:
            smtp.sendmail("alice@example.test", ["bob@example.test"], data, ["BODY=8BITMIME"])
        assert server.messages[0].content == data.removesuffix(b"\r\n") + b"\r\n"
