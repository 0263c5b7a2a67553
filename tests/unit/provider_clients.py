"""Stdlib clients that log in to a service of a provider with one mechanism, or with the protocol's own command."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import imaplib
import poplib
import smtplib
import ssl
import warnings

from scramp import ScramClient

TIMEOUT = 5


class Refused(Exception):
    """The server said no, in its protocol's words."""


def old_context(server):
    """Return a context for TLS 1.0, which a client of today has to be talked into."""
    context = server.ssl_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    return context


def dialogue(mechanism, user, secret, certificate):
    """Yield response after response; sent the challenges, the first of which is empty or the server's."""
    match mechanism:
        case "PLAIN":
            yield f"\0{user}\0{secret}"
        case "LOGIN":
            yield user
            yield secret
        case "CRAM-MD5":
            challenge = yield
            yield f"{user} {hmac.digest(secret.encode(), challenge, 'md5').hex()}"
        case "XOAUTH2":
            yield f"user={user}\x01auth=Bearer {secret}\x01\x01"
            yield ""
        case "OAUTHBEARER":
            yield f"n,a={user},\x01auth=Bearer {secret}\x01\x01"
            yield "\x01"
        case _:
            digest = hashlib.sha256(certificate() or b"").digest()
            binding = ("tls-server-end-point", digest) if mechanism.endswith("-PLUS") else None
            client = ScramClient([mechanism], user, secret, channel_binding=binding)
            challenge = yield client.get_client_first()
            client.set_server_first(challenge.decode())
            challenge = yield client.get_client_final()
            client.set_server_final(challenge.decode())
            yield ""


class Speaker:
    def __init__(self, *arguments):
        self.lines = dialogue(*arguments)
        self.first = next(self.lines)
        self.begun = False

    def __call__(self, challenge=b""):
        if not self.begun:
            self.begun = True
            return self.lines.send(challenge) if self.first is None else self.first
        return self.lines.send(challenge)


@contextlib.contextmanager
def smtp(server, context, *, in_clear=False):
    args = {"host": server.host, "port": server.port, "timeout": TIMEOUT}
    implicit = server.security == "implicit"
    with smtplib.SMTP_SSL(context=context, **args) if implicit else smtplib.SMTP(**args) as client:
        if not (implicit or in_clear):
            client.starttls(context=context)
        client.ehlo()
        yield client


@contextlib.contextmanager
def pop3(server, context, *, in_clear=False):
    implicit = server.security == "implicit"
    if implicit:
        client = poplib.POP3_SSL(server.host, server.port, context=context, timeout=TIMEOUT)
    else:
        client = poplib.POP3(server.host, server.port, timeout=TIMEOUT)
    with contextlib.closing(client):
        if not (implicit or in_clear):
            client.stls(context=context)
        yield client


@contextlib.contextmanager
def imap(server, context, *, in_clear=False):
    implicit = server.security == "implicit"
    if implicit:
        client = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=TIMEOUT)
    else:
        client = imaplib.IMAP4(server.host, server.port, timeout=TIMEOUT)
    try:
        if not (implicit or in_clear):
            client.starttls(ssl_context=context)
        yield client
    finally:
        client.shutdown()


CONNECT = {"smtp": smtp, "pop3": pop3, "imap": imap}


def authenticate(client, mechanism, user, secret):
    """Log in with one mechanism, the challenges first.

    Raises:
        Refused: The server refused.
    """
    try:
        if mechanism == "APOP":
            client.apop(user, secret)
            return
        speaker = Speaker(mechanism, user, secret, lambda: client.sock.getpeercert(binary_form=True))
        match client:
            case smtplib.SMTP():
                client.auth(mechanism, lambda challenge=b"": speaker(challenge), initial_response_ok=False)
            case imaplib.IMAP4():
                client.authenticate(mechanism, lambda challenge: speaker(challenge).encode())
            case _:
                reply = client._shortcmd(f"AUTH {mechanism}")
                while reply.startswith(b"+ "):
                    response = speaker(base64.b64decode(reply[2:]))
                    reply = client._shortcmd(base64.b64encode(response.encode()).decode())
    except (smtplib.SMTPResponseException, imaplib.IMAP4.error, poplib.error_proto) as error:
        raise Refused(_words(error)) from None


def log_in(client, user, password):
    """Log in as a client does by itself: LOGIN of IMAP, USER and PASS of POP3, whatever smtplib chooses.

    Raises:
        Refused: The server refused.
    """
    try:
        match client:
            case poplib.POP3():
                client.user(user)
                client.pass_(password)
            case _:
                client.login(user, password)
    except (smtplib.SMTPResponseException, imaplib.IMAP4.error, poplib.error_proto) as error:
        raise Refused(_words(error)) from None


def _words(error):
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {error.smtp_error.decode()}"
    words = error.args[0]
    return words.decode() if isinstance(words, bytes) else words


def as_refused(reply):
    """Return a reply on the wire as ``Refused`` tells it: without the codes that a client takes off."""
    lines = reply.split("\r\n")
    if reply[0].isdigit():
        return f"{lines[0][:3]} " + "\n".join(line[4:].strip() for line in lines)
    return reply.removeprefix("NO ")


def announced(client):
    """Return what the server announces now, by the first words."""
    match client:
        case smtplib.SMTP():
            return {name.upper() for name in client.esmtp_features}
        case imaplib.IMAP4():
            _, data = client.capability()
            return set(data[-1].decode().split())
        case _:
            return set(client.capa())
