"""A Flask application that sends with Flask-Mailman, over STARTTLS and over implicit TLS."""

import smtplib
import ssl

import pytest
from flask import Flask
from flask_mailman import Mail
from flask_mailman.backends.smtp import EmailBackend

from pytest_mailauth import assert_not_authenticated, assert_obeys

# The application.


class VerifyingSMTP(smtplib.SMTP):
    def starttls(self, *, context=None):
        return super().starttls(context=context or ssl.create_default_context())


class VerifyingSMTPS(smtplib.SMTP_SSL):
    def __init__(self, *args, context=None, **options):
        super().__init__(*args, context=context or ssl.create_default_context(), **options)


class VerifyingBackend(EmailBackend):
    """Makes the TLS context itself, for both modes, so that it is the application that says whom it trusts."""

    @property
    def connection_class(self):
        return VerifyingSMTPS if self.use_ssl else VerifyingSMTP


def create_app(settings):
    app = Flask(__name__)
    app.config.from_mapping(settings)
    mail = Mail(app)

    @app.post("/sign-up/<address>")
    def sign_up(address):
        mail.send_mail("Welcome", "Your code is 271828.", "app@example.test", [address])
        return "", 204

    return app


# Its tests.


def client_of(server):
    app = create_app(
        {
            "TESTING": True,  # errors reach the test; mail would stay in memory, so the backend is named
            "MAIL_BACKEND": VerifyingBackend,
            "MAIL_SERVER": server.host,
            "MAIL_PORT": server.port,
            "MAIL_USERNAME": server.account.username,
            "MAIL_PASSWORD": server.account.password,
            "MAIL_USE_TLS": server.security == "starttls",
            "MAIL_USE_SSL": server.security == "implicit",
            "MAIL_TIMEOUT": 2,
        }
    )
    return app.test_client()


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_the_welcome_mail_arrives(security, mailauth, monkeypatch):
    server = mailauth.smtp(security=security)
    monkeypatch.setenv("SSL_CERT_FILE", server.cafile)
    assert client_of(server).post("/sign-up/bob@example.test").status_code == 204
    message = server.wait_for_message(to="bob@example.test", subject="Welcome")
    assert message.codes == ("271828",)
    assert message.over_tls
    assert_obeys(server)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_an_expired_certificate_is_refused(security, mailauth, monkeypatch):
    server = mailauth.smtp(security=security, certificate="expired")
    monkeypatch.setenv("SSL_CERT_FILE", server.cafile)
    with pytest.raises(ssl.SSLCertVerificationError):
        client_of(server).post("/sign-up/bob@example.test")
    assert_not_authenticated(server)
    assert_obeys(server)
