"""Every mechanism on every protocol and in both TLS modes, spoken by the standard library's own dialogues.

The arithmetic of SCRAM is scramp's, of the others a line or two; base64, continuations and cancelling are smtplib's,
poplib's and imaplib's.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import imaplib
import poplib
import re
import shutil
import smtplib
import ssl
import subprocess

import pytest
from scramp import ScramClient

from pytest_mailauth import AuthPolicy, TLSPolicy
from pytest_mailauth.model.config import MECHANISMS, PROOF_MECHANISMS
from pytest_mailauth.servers.logins import Desk
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.wire.exporter import KeyLog

SASL = [name for name in MECHANISMS if name != "APOP"]


class Speaker:
    """The client side of one mechanism: called with each challenge, returns the response."""

    def __init__(self, mechanism, username, password, token, binding):
        self.mechanism, self.username, self.password, self.token = mechanism, username, password, token
        self.asked = 0
        self.heard = False
        self.scram = None
        if mechanism.startswith("SCRAM"):
            self.scram = ScramClient([mechanism], username, password, channel_binding=binding)
            self.scram_first = self.scram.get_client_first()

    def first(self):
        """Return the initial response, or None where the server speaks first."""
        simple = {
            "PLAIN": f"\0{self.username}\0{self.password}",
            "XOAUTH2": f"user={self.username}\x01auth=Bearer {self.token}\x01\x01",
            "OAUTHBEARER": f"n,a={self.username},\x01auth=Bearer {self.token}\x01\x01",
            "EXTERNAL": "",
            "ANONYMOUS": "trace",
        }
        return self.scram_first if self.scram else simple.get(self.mechanism)

    def answer(self, challenge):
        self.asked += 1
        if self.mechanism == "LOGIN":
            return self.username if self.asked == 1 else self.password
        if self.mechanism == "CRAM-MD5":
            return f"{self.username} {hmac.digest(self.password.encode(), challenge, 'md5').hex()}"
        if self.scram and not self.heard:
            self.heard = True
            self.scram.set_server_first(challenge.decode())
            return self.scram.get_client_final()
        if self.scram:
            self.scram.set_server_final(challenge.decode())
            return ""
        if self.mechanism == "OAUTHBEARER":
            return "\x01"  # the dummy response to an error challenge (RFC 7628 section 3.2.3)
        return ""


class Refused(Exception):
    """The server said no, in its protocol's words."""


def over_smtp(server, speaker, context, *, initial):
    implicit = server.security == "implicit"
    args = {"host": server.host, "port": server.port, "timeout": 5}
    with smtplib.SMTP_SSL(context=context, **args) if implicit else smtplib.SMTP(**args) as client:
        if not implicit:
            client.starttls(context=context)
        client.ehlo()

        def respond(challenge=None):
            return speaker.first() if challenge is None else _first_or_answer(speaker, challenge)

        try:
            client.auth(speaker.mechanism, respond, initial_response_ok=initial)
        except smtplib.SMTPResponseException as error:
            raise Refused(f"{error.smtp_code} {error.smtp_error.decode()}") from None


def _first_or_answer(speaker, challenge):
    if not challenge and speaker.first() is not None and speaker.asked == 0:
        speaker.asked += 1
        return speaker.first()
    return speaker.answer(challenge)


def over_imap(server, speaker, context, *, initial):
    if server.security == "implicit":
        client = imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=5)
    else:
        client = imaplib.IMAP4(server.host, server.port, timeout=5)
    with contextlib.closing(Shutdown(client)):
        if server.security != "implicit":
            client.starttls(ssl_context=context)
        try:
            client.authenticate(speaker.mechanism, lambda challenge: _first_or_answer(speaker, challenge).encode())
        except imaplib.IMAP4.error as error:
            raise Refused(str(error)) from None
        client.select()


class Shutdown:
    def __init__(self, client):
        self.client = client

    def close(self):
        self.client.shutdown()


def over_pop3(server, speaker, context, *, initial):
    if server.security == "implicit":
        client = poplib.POP3_SSL(server.host, server.port, context=context, timeout=5)
    else:
        client = poplib.POP3(server.host, server.port, timeout=5)
    with contextlib.closing(client):
        if server.security != "implicit":
            client.stls(context=context)
        client.capa()
        first = speaker.first() if initial else None
        line = f"AUTH {speaker.mechanism}"
        if first is not None:
            line += f" {base64.b64encode(first.encode()).decode() or '='}"
        try:
            reply = client._shortcmd(line)
            while reply.startswith(b"+ ") or reply == b"+":
                challenge = base64.b64decode(reply[2:])
                reply = client._shortcmd(base64.b64encode(_first_or_answer(speaker, challenge).encode()).decode())
        except poplib.error_proto as error:
            raise Refused(error.args[0].decode()) from None
        client.stat()


OVER = {"smtp": over_smtp, "pop3": over_pop3, "imap": over_imap}


def policy(mechanism):
    tls = TLSPolicy(client_certificate="required" if mechanism == "EXTERNAL" else "none")
    return {"auth": AuthPolicy(mechanisms=(mechanism,)), "tls": tls}


def trusting(server, mechanism, mailauth):
    context = server.ssl_context()
    if mechanism == "EXTERNAL":
        issued = mailauth.ca.issue_client(server.account.username)
        issued.configure(context)
    return context


def binding_for(mailauth, server):
    chain = mailauth.ca.issue("valid", host=server.host).chain_pem.decode()
    leaf = chain[: chain.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    return ("tls-server-end-point", hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).digest())


def speaker_for(mailauth, server, mechanism, *, wrong=False):
    account = server.account
    binding = binding_for(mailauth, server) if mechanism.endswith("-PLUS") else None
    password = "not it" if wrong else account.password
    token = "not it" if wrong else account.token
    return Speaker(mechanism, account.username, password, token, binding)


@pytest.mark.parametrize("security", ["starttls", "implicit"])
@pytest.mark.parametrize("protocol", OVER)
@pytest.mark.parametrize("mechanism", SASL)
@pytest.mark.parametrize("initial", [True, False], ids=["initial-response", "in-two-steps"])
def test_it_logs_in(mailauth, mechanism, protocol, security, initial):
    server = getattr(mailauth, protocol)(security=security, **policy(mechanism))
    context = trusting(server, mechanism, mailauth)
    OVER[protocol](server, speaker_for(mailauth, server, mechanism), context, initial=initial)
    (session,) = server.sessions
    (seen,) = session.auth
    assert (seen.mechanism, seen.accepted) == (mechanism, True)
    assert seen.identity == ("trace" if mechanism == "ANONYMOUS" else server.account.username)
    assert session.tls.version == "1.3"


WRONG = {"smtp": "535 5.7.8", "pop3": "-ERR [AUTH]", "imap": "AUTHENTICATIONFAILED"}


@pytest.mark.parametrize("protocol", OVER)
@pytest.mark.parametrize("mechanism", [name for name in SASL if name not in ("EXTERNAL", "ANONYMOUS")])
def test_wrong_credentials_are_refused_with_the_right_reply(mailauth, mechanism, protocol):
    server = getattr(mailauth, protocol)(security="implicit", **policy(mechanism))
    speaker = speaker_for(mailauth, server, mechanism, wrong=True)
    with pytest.raises(Refused) as caught:
        OVER[protocol](server, speaker, server.ssl_context(), initial=True)
    assert WRONG[protocol] in str(caught.value)
    assert [fact.accepted for fact in server.sessions[0].auth] == [False]


@pytest.mark.parametrize("protocol", OVER)
@pytest.mark.parametrize("mechanism", SASL)
def test_what_is_accepted_is_what_is_announced(mailauth, mechanism, protocol):
    """A mechanism that the policy does not name is neither announced nor taken."""
    others = tuple(name for name in SASL if name not in (mechanism, "EXTERNAL"))
    server = getattr(mailauth, protocol)(security="implicit", auth=AuthPolicy(mechanisms=others))
    with pytest.raises((Refused, AssertionError, smtplib.SMTPException)):
        OVER[protocol](server, speaker_for(mailauth, server, mechanism), server.ssl_context(), initial=True)
    announced = server.sessions[0].tls_out.decode()
    assert not [fact for fact in server.sessions[0].auth if fact.accepted]
    words = announced.replace("AUTH=", " ").split()
    assert mechanism not in words
    assert set(others) <= set(words)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])
@pytest.mark.parametrize("protocol", OVER)
def test_what_is_bound_to_is_what_openssl_exports(mailauth, monkeypatch, tmp_path, protocol, suite):
    bindings = []

    def desk(policy, peer, mechanism=""):
        bindings.append(dict(peer.channel_bindings()))
        return Desk(policy.config.host, policy.logins, peer, mechanism, {})

    monkeypatch.setattr(Policy, "desk", desk)
    server = getattr(mailauth, protocol)(auth=AuthPolicy(mechanisms=("SCRAM-SHA-256-PLUS",)))
    said = {
        "smtp": "EHLO localhost\nAUTH SCRAM-SHA-256-PLUS\n*\nQUIT\n",
        "pop3": "AUTH SCRAM-SHA-256-PLUS\n*\nQUIT\n",
        "imap": "a AUTHENTICATE SCRAM-SHA-256-PLUS\n*\nb LOGOUT\n",
    }
    address = f"{server.host}:{server.port}"
    command = ["openssl", "s_client", "-connect", address, "-starttls", protocol, "-CAfile", server.cafile, "-crlf"]
    command += ["-ign_eof", "-ciphersuites", suite, "-keymatexport", "EXPORTER-Channel-Binding"]
    done = subprocess.run(
        [*command, "-keymatexportlen", "32"],
        input=said[protocol],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        cwd=tmp_path,
    )
    (material,) = re.findall(r"Keying material: ([0-9A-F]{64})", done.stdout)
    (found,) = bindings
    assert found["tls-exporter"].hex().upper() == material
    assert sorted(found) == ["tls-exporter", "tls-server-end-point"]
    assert server.sessions[0].tls.cipher == suite


def test_only_what_binds_needs_keying_material(mailauth, monkeypatch):
    monkeypatch.setattr(KeyLog, "__init__", lambda *_: pytest.fail("keys were logged"))
    server = mailauth.smtp(security="implicit", auth=AuthPolicy(mechanisms=("SCRAM-SHA-256",)))
    over_smtp(server, speaker_for(mailauth, server, "SCRAM-SHA-256"), server.ssl_context(), initial=True)


EXTERNAL_REFUSED = {"smtp": "504 5.5.4", "pop3": "-ERR this mechanism is not offered here", "imap": "disabled"}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("security", ["starttls", "implicit"])
@pytest.mark.parametrize("protocol", OVER)
def test_external_is_announced_to_clients_that_showed_a_certificate(mailauth, protocol, security, version):
    tls = TLSPolicy(min_version=version, max_version=version, client_certificate="optional")
    auth = AuthPolicy(mechanisms=("PLAIN", "EXTERNAL"))
    server = getattr(mailauth, protocol)(security=security, tls=tls, auth=auth)
    OVER[protocol](server, speaker_for(mailauth, server, "PLAIN"), server.ssl_context(), initial=True)
    with pytest.raises(Refused, match=re.escape(EXTERNAL_REFUSED[protocol])):
        OVER[protocol](server, speaker_for(mailauth, server, "EXTERNAL"), server.ssl_context(), initial=True)
    shown = trusting(server, "EXTERNAL", mailauth)
    OVER[protocol](server, speaker_for(mailauth, server, "EXTERNAL"), shown, initial=True)
    announced = ["EXTERNAL" in session.tls_out.decode().replace("AUTH=", " ").split() for session in server.sessions]
    assert announced == [False, False, True]
    assert [session.tls.version for session in server.sessions] == [version] * 3
    assert not any("EXTERNAL" in session.clear_out.decode() for session in server.sessions)
    assert [fact.accepted for fact in server.sessions[2].auth] == [True]


@pytest.mark.parametrize("security", ["starttls", "implicit"])
def test_apop(mailauth, security):
    before_tls = ("APOP",) if security == "starttls" else ()
    server = mailauth.pop3(security=security, auth=AuthPolicy(mechanisms=("APOP",), before_tls=before_tls))
    if security == "implicit":
        client = poplib.POP3_SSL(server.host, server.port, context=server.ssl_context(), timeout=5)
    else:
        client = poplib.POP3(server.host, server.port, timeout=5)
    with contextlib.closing(client):
        assert client.apop(server.account.username, server.account.password).startswith(b"+OK")
        client.stat()
    assert [(fact.mechanism, fact.accepted) for fact in server.sessions[0].auth] == [("APOP", True)]
    with (
        contextlib.closing(poplib.POP3(server.host, server.port, timeout=5))
        if security == "starttls"
        else contextlib.nullcontext() as again
    ):
        if again is not None:
            with pytest.raises(poplib.error_proto, match="AUTH"):
                again.apop(server.account.username, "not it")


def test_smtplib_and_imaplib_choose_cram_md5_themselves(mailauth):
    smtp = mailauth.smtp(auth=AuthPolicy(mechanisms=("CRAM-MD5",)))
    with smtplib.SMTP(smtp.host, smtp.port, timeout=5) as client:
        client.starttls(context=smtp.ssl_context())
        client.login(smtp.account.username, smtp.account.password)
    assert smtp.sessions[0].auth[0].mechanism == "CRAM-MD5"
    imap = mailauth.imap(security="implicit", auth=AuthPolicy(mechanisms=("CRAM-MD5",)))
    client = imaplib.IMAP4_SSL(imap.host, imap.port, ssl_context=imap.ssl_context(), timeout=5)
    client.login_cram_md5(imap.account.username, imap.account.password)
    client.logout()
    assert imap.sessions[0].auth[0].accepted


@pytest.mark.parametrize("mechanism", PROOF_MECHANISMS)
def test_a_proof_reveals_nothing(mailauth, mechanism):
    server = mailauth.smtp(security="implicit", auth=AuthPolicy(mechanisms=(mechanism,)))
    over_smtp(server, speaker_for(mailauth, server, mechanism), server.ssl_context(), initial=True)
    assert server.account.password.encode() not in server.sessions[0].tls_in
    assert server.sessions[0].auth[0].secret == ""
