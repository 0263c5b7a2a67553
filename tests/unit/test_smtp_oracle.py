"""aiosmtpd, served as it comes, is the oracle of the SMTP engine: the same commands earn the same reply codes."""

import asyncio
import contextlib

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from smtp_session import ALICE, PASSWORD, PLAIN, USER, WRONG, b64, codes, lines, talk

from pytest_mailauth.model.config import IN_CLEAR
from pytest_mailauth.model.relay import RelayPolicy
from pytest_mailauth.servers.engines.contract import Send

AGREED = (
    ("NOOP",),
    ("EHLO x", "NOOP", "RSET", "HELP", "HELP MAIL", "VRFY a@b", "EXPN"),
    ("HELO x", "MAIL FROM:<a@b> SIZE=1", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"),
    ("MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA"),
    ("EHLO x", "MAIL", "MAIL FROM", "MAIL FROM:", "MAIL FROM:<@>", "MAIL FROM:<a@b> SIZE=x", "MAIL FROM:<a@b> FOO=1"),
    (
        "EHLO x",
        "MAIL FROM:<>",
        "RCPT TO:<@>",
        "RCPT TO:<a@b> FOO=1",
        "RCPT",
        "RCPT TO:<a@b>",
        "DATA x",
        "DATA",
        "x",
        ".",
    ),
    ("EHLO x", "MAIL FROM:<a@b> SIZE=33554433", "MAIL FROM:<a@b> BODY=7BIT SMTPUTF8", "RSET", "RSET x"),
    ("EHLO x", f"AUTH PLAIN {PLAIN}", f"AUTH PLAIN {PLAIN}"),
    ("EHLO x", "AUTH LOGIN", USER, b64(PASSWORD)),
    ("EHLO x", "AUTH LOGIN", "*", "AUTH PLAIN", "*", "AUTH PLAIN !", "AUTH XYZZY", "AUTH", f"AUTH PLAIN {WRONG}"),
    ("EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "x" * 999, "y" * 2000, ".", "NOOP"),
    ("EHLO x", "NOOP " + "x" * 600, "XYZZY", "EHLO", "HELO", "", "NÖÖP"),
    ("QUIT x",),
)
OURS = {
    "MAIL FROM:<a@b> SIZE=²": ("501", "500"),  # aiosmtpd trips over its own int()
    "AUTH plain": ("334", "504"),  # case has no meaning in RFC 4954's syntax
}


async def _ask_aiosmtpd(said):
    def authenticate(_server, _session, _envelope, _mechanism, data):
        known = (data.login, data.password) == (ALICE.username.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=False)

    def make():
        return SMTP(
            object(),
            hostname="localhost",
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=authenticate,
            loop=asyncio.get_running_loop(),
        )

    listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(lines(*said))
        data = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return codes([Send(b"\r\n" + data.partition(b"\r\n")[2])])


def _ask_ours(said):
    return codes(talk(lines(*said), auth=IN_CLEAR, relay=RelayPolicy(domains=("b",)))[0])


@pytest.mark.parametrize("said", AGREED)
def test_the_reply_codes_are_aiosmtpds(said):
    said = (*said, "QUIT")
    assert _ask_ours(said) == asyncio.run(_ask_aiosmtpd(said))


@pytest.mark.parametrize("command", OURS)
def test_where_ours_and_aiosmtpd_part(command):
    said = ("EHLO x", command, *(["*"] if command == "AUTH plain" else []), "QUIT")
    assert (_ask_ours(said)[1], asyncio.run(_ask_aiosmtpd(said))[1]) == OURS[command]
