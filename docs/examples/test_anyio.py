"""An application that sends from a worker thread, under asyncio and under trio, over implicit TLS."""

import smtplib
import ssl
from email.message import EmailMessage

import anyio
import pytest

from pytest_mailauth import assert_not_authenticated, assert_obeys

# The application.


async def send_welcome(to, *, host, port, username, password, context=None):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "app@example.test", to, "Welcome"
    message.set_content("Your code is 271828.\n")

    def send():
        with smtplib.SMTP_SSL(host, port, timeout=2, context=context or ssl.create_default_context()) as smtp:
            smtp.login(username, password)
            smtp.send_message(message)

    await anyio.to_thread.run_sync(send)


# Its tests.

pytestmark = [pytest.mark.anyio, pytest.mark.mailauth(security="implicit")]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def settings(server):
    return {
        "host": server.host,
        "port": server.port,
        "username": server.account.username,
        "password": server.account.password,
        "context": server.ssl_context(),
    }


async def test_the_welcome_mail_arrives(mailauth_smtp):
    server = mailauth_smtp

    async def sign_up():
        await send_welcome("bob@example.test", **settings(server))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sign_up)
        message = await server.await_message(to="bob@example.test", subject="Welcome")
    assert message.codes == ("271828",)
    assert_obeys(server)


@pytest.mark.mailauth(certificate="expired")
async def test_an_expired_certificate_is_refused(mailauth_smtp):
    server = mailauth_smtp
    with pytest.raises(ssl.SSLCertVerificationError):
        await send_welcome("bob@example.test", **settings(server))
    assert_not_authenticated(server)
    assert_obeys(server)
