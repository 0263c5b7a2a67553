"""A Django project that sends with ``django.core.mail``, over STARTTLS and over implicit TLS.

Django's test runner and pytest-django put a backend in place that keeps mail in memory, so the tests name the real one.
"""

import ssl

import django
import pytest
from django.conf import settings
from django.core.mail import send_mail
from django.core.mail.backends.smtp import EmailBackend
from django.test import override_settings
from django.utils.functional import cached_property

from pytest_mailauth import assert_not_authenticated, assert_obeys

if not settings.configured:
    settings.configure(SECRET_KEY="for tests only")

SHIPPED = "django.core.mail.backends.smtp.EmailBackend"


def mail_settings(server, backend=SHIPPED):
    """Return the settings that lead Django to the server."""
    options = {
        "host": server.host,
        "port": server.port,
        "username": server.account.username,
        "password": server.account.password,
        "use_tls": server.security == "starttls",
        "use_ssl": server.security == "implicit",
        "timeout": 2,
    }
    if django.VERSION >= (6, 1):
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    names = {"username": "EMAIL_HOST_USER", "password": "EMAIL_HOST_PASSWORD"}
    return {"EMAIL_BACKEND": backend} | {
        names.get(name, f"EMAIL_{name.upper()}"): value for name, value in options.items()
    }


# The application.


def send_welcome(to):
    send_mail("Welcome", "Your code is 271828.", "app@example.test", [to])


class PrivateAuthorityBackend(EmailBackend):
    """For a mail server whose certificate comes from an authority of your own."""

    @cached_property
    def ssl_context(self):
        return ssl.create_default_context(cafile=settings.MAIL_CAFILE)


# Its tests.


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_the_welcome_mail_arrives(security, mailauth, monkeypatch):
    server = mailauth.smtp(security=security)
    monkeypatch.setenv("SSL_CERT_FILE", server.cafile)  # Django makes a default context: lead OpenSSL to the authority
    with override_settings(**mail_settings(server)):
        send_welcome("bob@example.test")
    message = server.wait_for_message(to="bob@example.test", subject="Welcome")
    assert message.codes == ("271828",)
    assert message.over_tls
    assert_obeys(server)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_an_expired_certificate_is_refused(security, mailauth, monkeypatch):
    server = mailauth.smtp(security=security, certificate="expired")
    monkeypatch.setenv("SSL_CERT_FILE", server.cafile)
    with override_settings(**mail_settings(server)), pytest.raises(ssl.SSLCertVerificationError):
        send_welcome("bob@example.test")
    assert_not_authenticated(server)
    assert_obeys(server)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_a_backend_of_your_own_trusts_your_authority(security, mailauth):
    server = mailauth.smtp(security=security)
    backend = f"{__name__}.{PrivateAuthorityBackend.__name__}"
    with override_settings(**mail_settings(server, backend), MAIL_CAFILE=server.cafile):
        send_welcome("bob@example.test")
    server.wait_for_message(to="bob@example.test")
    assert_obeys(server)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_a_backend_of_your_own_refuses_an_expired_certificate(security, mailauth):
    server = mailauth.smtp(security=security, certificate="expired")
    backend = f"{__name__}.{PrivateAuthorityBackend.__name__}"
    with (
        override_settings(**mail_settings(server, backend), MAIL_CAFILE=server.cafile),
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        send_welcome("bob@example.test")
    assert_not_authenticated(server)
    assert_obeys(server)
