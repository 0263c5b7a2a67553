"""A FastAPI application that sends with aiosmtplib, in a background task."""

import ssl
from email.message import EmailMessage

import aiosmtplib
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.testclient import TestClient

from pytest_mailauth import assert_not_authenticated, assert_obeys

# The application.


def create_app(**settings):
    app = FastAPI()

    async def send_welcome(to):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "app@example.test", to, "Welcome"
        message.set_content("Your code is 271828.\n")
        # Insist: by its documentation, the default is to upgrade only where STARTTLS is offered.
        await aiosmtplib.send(message, start_tls=True, timeout=2, **settings)

    @app.post("/sign-up/{address}", status_code=202)
    async def sign_up(address: str, background: BackgroundTasks):
        background.add_task(send_welcome, address)

    return app


# Its tests.


def client_of(server):
    app = create_app(
        hostname=server.host,
        port=server.port,
        username=server.account.username,
        password=server.account.password,
        tls_context=server.ssl_context(),
    )
    return TestClient(app)


def test_the_welcome_mail_arrives(mailauth_smtp):
    server = mailauth_smtp
    with client_of(server) as client:
        assert client.post("/sign-up/bob@example.test").status_code == 202
        message = server.wait_for_message(to="bob@example.test", subject="Welcome")
    assert message.codes == ("271828",)
    assert message.over_tls
    assert_obeys(server)


@pytest.mark.mailauth(certificate="expired")
def test_an_expired_certificate_is_refused(mailauth_smtp):
    server = mailauth_smtp
    with client_of(server) as client, pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        client.post("/sign-up/bob@example.test")
    assert_not_authenticated(server)
    assert_obeys(server)
