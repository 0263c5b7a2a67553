"""An application that sends with aiosmtplib, from coroutine tests under pytest-asyncio."""

import asyncio
import ssl
from email.message import EmailMessage

import aiosmtplib
import pytest

from pytest_mailauth import assert_not_authenticated, assert_obeys

# The application.


async def send_welcome(to, **settings):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "app@example.test", to, "Welcome"
    message.set_content("Your code is 271828.\n")
    # Insist: by its documentation, the default is to upgrade only where STARTTLS is offered.
    await aiosmtplib.send(message, start_tls=True, timeout=2, **settings)


# Its tests.


def settings(server):
    return {
        "hostname": server.host,
        "port": server.port,
        "username": server.account.username,
        "password": server.account.password,
        "tls_context": server.ssl_context(),
    }


@pytest.mark.asyncio
async def test_the_welcome_mail_arrives(mailauth_smtp):
    server = mailauth_smtp
    sending = asyncio.create_task(send_welcome("bob@example.test", **settings(server)))
    message = await server.await_message(to="bob@example.test", subject="Welcome")
    await sending
    assert message.codes == ("271828",)
    assert_obeys(server)


@pytest.mark.asyncio
@pytest.mark.mailauth(certificate="wrong-host")
async def test_a_certificate_of_another_host_is_refused(mailauth_smtp):
    server = mailauth_smtp
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await send_welcome("bob@example.test", **settings(server))
    assert_not_authenticated(server)
    assert_obeys(server)
