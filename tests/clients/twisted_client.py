"""Logs in with Twisted's mail clients as standard input says; fails with the refusal. A process of its own."""

import io
import json
import sys
from pathlib import Path

from twisted.internet import defer, endpoints, protocol, ssl, task
from twisted.mail import imap4, pop3, smtp


class Imap(imap4.IMAP4Client):
    def serverGreeting(self, _capabilities):  # noqa: N802 - Twisted's name
        self.factory.begin(self)


class Pop(pop3.AdvancedPOP3Client):
    def serverGreeting(self, greeting):  # noqa: N802 - Twisted's name
        super().serverGreeting(greeting)
        self.factory.begin(self)


class Greeted(protocol.ClientFactory):
    """Builds one client, and fires when it was greeted."""

    noisy = False

    def __init__(self, make):
        self.make = make
        self.greeted = defer.Deferred()

    def buildProtocol(self, _address):  # noqa: N802 - Twisted's name
        client = self.make()
        client.factory = self
        return client

    def begin(self, client):
        self.greeted.callback(client)


@defer.inlineCallbacks
def send(connect, context, errand):
    done = defer.Deferred()
    factory = smtp.ESMTPSenderFactory(
        *(errand["username"].encode(), errand["secret"].encode(), "sender@example.test", ["recipient@example.test"]),
        *(io.BytesIO(b"Subject: from a library\r\n\r\nHello.\r\n"), done),
        retries=0,
        contextFactory=context,
        heloFallback=True,
        hostname=errand["host"],
    )
    factory.noisy = False
    yield connect(factory)
    yield done


@defer.inlineCallbacks
def read_imap(connect, context, errand):
    factory = Greeted(lambda: Imap(context))
    yield connect(factory)
    client = yield factory.greeted
    name = errand["username"].encode()
    for authenticator in (imap4.CramMD5ClientAuthenticator, imap4.LOGINAuthenticator, imap4.PLAINAuthenticator):
        client.registerAuthenticator(authenticator(name))
    if not errand["implicit"]:
        yield client.startTLS()
    yield client.authenticate(errand["secret"].encode())
    yield client.logout()


@defer.inlineCallbacks
def read_pop(connect, context, errand):
    factory = Greeted(Pop)
    yield connect(factory)
    client = yield factory.greeted
    if not errand["implicit"]:
        yield client.startTLS(context)
    yield client.login(errand["username"].encode(), errand["secret"].encode())
    yield client.quit()


def main(reactor, errand):
    trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(Path(errand["cafile"]).read_bytes())])
    context = ssl.optionsForClientTLS(errand["host"], trustRoot=trust)
    place = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", errand["port"])
    if errand["implicit"]:
        place = endpoints.wrapClientTLS(context, place)
    talk = {"smtp": send, "imap": read_imap, "pop3": read_pop}[errand["protocol"]]

    def refused(failure):
        print(failure.getErrorMessage())
        raise SystemExit(1)

    return talk(place.connect, context, errand).addErrback(refused)


if __name__ == "__main__":
    task.react(main, [json.load(sys.stdin)])
