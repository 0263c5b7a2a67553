"""SCRAM: the examples of the documents, a client of other people's arithmetic, and what is no message of it."""

import base64
import hashlib
import hmac
from typing import NamedTuple

import pytest
from sasl_exchange import ACCOUNT, Counter, run
from scramp import ScramClient

from pytest_mailauth.model.canary import Secret
from pytest_mailauth.servers import sasl
from pytest_mailauth.servers.sasl import scram


def scram_client(mechanism, username="user", password="pencil", binding=None):  # noqa: S107
    return ScramClient([mechanism], username, password, channel_binding=binding)


BINDING = ("tls-server-end-point", b"hash of the certificate")


@pytest.mark.parametrize(
    ("mechanism", "binding"),
    [("SCRAM-SHA-1", None), ("SCRAM-SHA-256", None), ("SCRAM-SHA-256-PLUS", BINDING)],
)
def test_scram_with_a_client_of_its_own_arithmetic(mechanism, binding):
    client = scram_client(mechanism, binding=binding)

    def final(challenge):
        client.set_server_first(challenge.decode())
        return client.get_client_final().encode()

    def check(challenge):
        client.set_server_final(challenge.decode())  # raises when the server's signature is wrong
        return b""

    attempt, _ = run(mechanism, final, check, initial=client.get_client_first().encode())
    assert attempt == sasl.Attempt(sasl.Claim("user", "", kind=sasl.Kind.PROOF, proved=True), sasl.Decision(ACCOUNT))


@pytest.mark.parametrize(("username", "password"), [("user", "pen"), ("nobody", "pencil")])
def test_scram_with_a_wrong_name_or_password(username, password):
    client = scram_client("SCRAM-SHA-256", username, password)

    def final(challenge):
        client.set_server_first(challenge.decode())
        return client.get_client_final().encode()

    attempt, _ = run("SCRAM-SHA-256", final, initial=client.get_client_first().encode())
    assert attempt.claim == sasl.Claim(username, "", kind=sasl.Kind.PROOF, proved=False)
    assert attempt.decision.account is None


def test_scram_plus_with_the_data_of_another_connection():
    client = scram_client("SCRAM-SHA-256-PLUS", binding=("tls-server-end-point", b"another certificate"))

    def final(challenge):
        client.set_server_first(challenge.decode())
        return client.get_client_final().encode()

    attempt, _ = run("SCRAM-SHA-256-PLUS", final, initial=client.get_client_first().encode())
    assert not attempt.claim.proved


class Document(NamedTuple):
    salt: bytes
    nonce: str
    first: bytes
    challenge: bytes
    final: bytes
    signature: bytes


DOCUMENTS = {
    "SCRAM-SHA-1": Document(  # RFC 5802 section 5
        salt=b"QSXCR+Q6sek8bf92",
        nonce="3rfcNHYJY1ZVvWVs7j",
        first=b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        challenge=b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        final=b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        signature=b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "SCRAM-SHA-256": Document(  # RFC 7677 section 3
        salt=b"W22ZaJ0SNY7soEsUEjb6gQ==",
        nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        first=b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        challenge=b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        final=b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        signature=b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


class Told(Counter):
    """A server with the nonce of a document."""

    def __init__(self, document):
        super().__init__()
        self.document = document

    def nonce(self):
        return self.document.nonce


@pytest.mark.parametrize("mechanism", DOCUMENTS)
def test_the_example_of_the_documents(monkeypatch, mechanism):
    document = DOCUMENTS[mechanism]
    scram._stored.cache_clear()
    monkeypatch.setattr(scram.os, "urandom", lambda _size: base64.b64decode(document.salt))
    attempt, said = run(mechanism, document.final, b"", initial=document.first, server=Told(document))
    scram._stored.cache_clear()
    assert said == [document.challenge, document.signature]
    assert attempt.claim == sasl.Claim("user", "", kind=sasl.Kind.PROOF, proved=True)


def scram_final(header, password="pencil", change=lambda final: final):  # noqa: S107
    """Return what a client of RFC 5802 answers whose first message begins with *header*."""

    def final(challenge):
        fields = dict(field.split(b"=", 1) for field in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = b"c=" + base64.b64encode(header) + b",r=" + fields[b"r"]
        said = b"n=user,r=abc," + challenge + b"," + without
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        return change(without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))))

    return final


def test_scram_with_an_authorization_identity():
    header = b"n,a=bo=2Cb=3D,"
    attempt, _ = run("SCRAM-SHA-256", scram_final(header), b"", initial=header + b"n=user,r=abc")
    assert attempt.claim == sasl.Claim("user", "", "bo,b=", kind=sasl.Kind.PROOF, proved=True)
    # It is part of what is proved: nobody on the way can put another one in.
    attempt, _ = run("SCRAM-SHA-256", scram_final(b"n,,"), initial=header + b"n=user,r=abc")
    assert not attempt.claim.proved


@pytest.mark.parametrize(
    "change",
    [
        lambda final: final.replace(b"c=biws", b"c=eSws"),
        lambda final: final.replace(b"r=abc", b"r=abd"),
        lambda final: final[:-5] + b"AAAA=",
        lambda final: final.partition(b",p=")[0] + b",p=AAAA",
    ],
    ids=["binding", "nonce", "proof", "short proof"],
)
def test_scram_with_one_part_of_the_last_message_changed(change):
    first = b"n,,n=user,r=abc"
    attempt, _ = run("SCRAM-SHA-256", scram_final(b"n,,"), b"", initial=first)
    assert attempt.claim.proved
    attempt, _ = run("SCRAM-SHA-256", scram_final(b"n,,", change=change), initial=first)
    assert not attempt.claim.proved


@pytest.mark.parametrize("password", ["", "with\0NUL", "\u0007bell"])
def test_scram_with_a_password_that_nobody_can_prove(password):
    class Odd(Counter):
        def password_of(self, _identity):
            return Secret(password)

    attempt, _ = run("SCRAM-SHA-256", scram_final(b"n,,", password), initial=b"n,,n=user,r=abc", server=Odd())
    assert not attempt.claim.proved


@pytest.mark.parametrize(
    "first",
    [
        *(b"", b"n,,", b"n,n=user,r=abc", b"x,,n=user,r=abc", b"p=,,n=user,r=abc", b"n,b=u,n=user,r=abc"),
        *(b"n,,n=,r=abc", b"n,,n=user,r=", b"n,,n=user,r=a c", b"n,,m=x,n=user,r=abc", b"n,,n=us=er,r=abc"),
        *(b"n,,n=us\0er,r=abc", b"n,a=x=2c,n=user,r=abc", b"n,,n=user,r=abc,x", b"n,,n=user,r=abc\n"),
    ],
)
def test_what_is_no_first_message_of_scram(first):
    with pytest.raises(sasl.SaslError, match=r"RFC 5802 section [57]"):
        run("SCRAM-SHA-1", b"", initial=first)


@pytest.mark.parametrize("final", [b"", b"c=biws", b"c=biws,r=x", b"c=b,r=x,p=AAAA", b"r=x,c=biws,p=AAAA", b"=,=,="])
def test_what_is_no_last_message_of_scram(final):
    with pytest.raises(sasl.SaslError, match="RFC 5802 section 7"):
        run("SCRAM-SHA-1", final, initial=b"n,,n=user,r=abc")


def test_scram_notices_that_somebody_took_the_channel_binding_away():
    with pytest.raises(sasl.SaslError, match="there is no channel binding, but there is"):
        run("SCRAM-SHA-256", initial=b"y,,n=user,r=abc")
    attempt, _ = run("SCRAM-SHA-1", lambda _challenge: b"c=eSws,r=x,p=AAAA", initial=b"y,,n=user,r=abc")
    assert not attempt.claim.proved  # nothing was taken away here; the rest is wrong
    with pytest.raises(sasl.SaslError, match="belongs to SCRAM-SHA-256-PLUS"):
        run("SCRAM-SHA-256", initial=b"p=tls-server-end-point,,n=user,r=abc")


def test_scram_plus_with_a_binding_that_is_not_to_be_had():
    with pytest.raises(sasl.SaslError, match="tls-exporter is not to be had here; there is tls-server-end-point"):
        run("SCRAM-SHA-256-PLUS", initial=b"p=tls-exporter,,n=user,r=abc")
