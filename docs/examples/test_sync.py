"""An application that sends with smtplib, from ordinary tests."""

import smtplib
import ssl
from email.message import EmailMessage

import pytest

from pytest_mailauth import assert_not_authenticated, assert_obeys

# The application.


def send_welcome(to, *, host, port, username, password, context=None):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "app@example.test", to, "Welcome"
    message.set_content("Your code is 271828.\n")
    with smtplib.SMTP(host, port, timeout=2) as smtp:
        smtp.starttls(context=context or ssl.create_default_context())
        smtp.login(username, password)
        smtp.send_message(message)


# Its tests.


def settings(server):
    return {
        "host": server.host,
        "port": server.port,
        "username": server.account.username,
        "password": server.account.password,
        "context": server.ssl_context(),
    }


def test_the_welcome_mail_arrives(mailauth_smtp):
    server = mailauth_smtp
    send_welcome("bob@example.test", **settings(server))
    message = server.wait_for_message(to="bob@example.test", subject="Welcome")
    assert message.codes == ("271828",)
    assert message.over_tls
    assert_obeys(server)


@pytest.mark.mailauth(certificate="expired")
def test_an_expired_certificate_is_refused(mailauth_smtp):
    server = mailauth_smtp
    with pytest.raises(ssl.SSLCertVerificationError):
        send_welcome("bob@example.test", **settings(server))
    assert_not_authenticated(server)
    assert_obeys(server)
