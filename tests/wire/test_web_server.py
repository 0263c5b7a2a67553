"""The web server with a domain's configuration file: what it answers, what it notes, and that nothing is left of it."""

from __future__ import annotations

import base64
import contextlib
import gc
import socket
import ssl
import struct
import threading
import urllib.request
import warnings
from http.client import HTTPConnection
from urllib.error import HTTPError, URLError
from xml.etree import ElementTree as ET

import pytest

from pytest_mailauth import Network
from pytest_mailauth.model.canary import Account
from pytest_mailauth.model.config import TLSPolicy
from pytest_mailauth.model.terms import Certificate, Protocol, Security
from pytest_mailauth.servers import webserver
from pytest_mailauth.servers.configfile import config_text
from pytest_mailauth.servers.webserver import WebServer
from pytest_mailauth.servers.wire.contexts import server_context

HOST, PATH = "autoconfig.example.test", "/mail/config-v1.1.xml"
LIMIT = 5
ACCOUNT = Account.fresh()
PASSWORD = str(ACCOUNT.password)


@pytest.fixture
def serve():
    with contextlib.ExitStack() as ending:

        def start(status=200, **settings):
            server = WebServer(HOST, PATH, status=status, text="<file/>", secrets=ACCOUNT.secrets, **settings)
            ending.callback(server.close)
            return server

        yield start


def ask(server, method="GET", path=PATH, body=None, **fields):
    client = HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
    try:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        client.close()


def test_the_file_is_at_its_place_alone(serve):
    server = serve()
    assert ask(server)[:2] == (200, b"<file/>")
    assert ask(server, path=f"{PATH}?emailaddress=a%40example.test")[:2] == (200, b"<file/>")
    assert ask(server, "HEAD")[:2] == (200, b"")
    assert ask(server, path="/")[:2] == (404, b"")
    assert [(one.method, one.status) for one in server.requests] == [
        ("GET", 200),
        ("GET", 200),
        ("HEAD", 200),
        ("GET", 404),
    ]
    assert {one.carried for one in server.requests} == {()}


def test_a_password_is_asked_for(serve):
    status, data, headers = ask(serve(status=401))
    assert (status, data) == (401, b"")
    assert headers["WWW-Authenticate"] == 'Basic realm="Mail account"'


BASIC = "Basic " + base64.b64encode(f"{ACCOUNT.username}:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    ("sent", "carried"),
    [
        ({"Authorization": BASIC}, ("password", "Authorization")),
        ({"Authorization": f"Bearer {ACCOUNT.token}"}, ("token", "Authorization")),
        ({"X_Key": PASSWORD}, ("password", "X-Key")),
        ({"path": f"{PATH}?password={PASSWORD}"}, ("password", "its address")),
        ({"method": "POST", "body": f"<Password>{PASSWORD}</Password>"}, ("password", "its body")),
    ],
)
def test_a_secret_is_found_and_not_shown(serve, sent, carried):
    server = serve()
    ask(server, **sent)
    (seen,) = server.requests
    assert seen.carried == (carried,)
    for shown in (repr(seen), str(seen)):
        assert PASSWORD not in shown
        assert str(ACCOUNT.token) not in shown
        assert BASIC.partition(" ")[2] not in shown


def test_credentials_of_somebody_else_are_no_secret_of_the_trial_and_not_shown_either(serve):
    server = serve()
    ask(server, Authorization="Basic aHVudGVyMjpodW50ZXIy", User_Agent="me")
    (seen,) = server.requests
    assert seen.carried == ()
    fields = dict(seen.headers)
    assert fields["User-Agent"] == "me"
    assert fields["Authorization"] == "<redacted>"


def with_certificate(ca, kind=Certificate.VALID):
    return {"context": server_context(TLSPolicy(), kind, ca, HOST), "certificate": kind}


def test_https_under_the_name_that_clients_ask_for(serve, mailauth_factory):
    network = Network(mailauth_factory)
    server = serve(**with_certificate(mailauth_factory.ca))
    network.host(HOST).leads_elsewhere(443, server.port)
    with (
        network,
        urllib.request.urlopen(
            f"https://{HOST}{PATH}", timeout=LIMIT, context=mailauth_factory.ca.ssl_context()
        ) as file,
    ):
        assert file.read() == b"<file/>"
    (seen,) = server.requests
    assert seen.is_vouched_for
    assert seen.url == f"https://{HOST}{PATH}"
    # It is not a mail server, and so nothing that was tried to reach one.
    assert network.attempts == ()


def test_a_refused_certificate_is_noted(serve, mailauth_factory):
    network = Network(mailauth_factory)
    server = serve(**with_certificate(mailauth_factory.ca, Certificate.UNTRUSTED_ROOT))
    network.host(HOST).leads_elsewhere(443, server.port)
    with network, pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"https://{HOST}{PATH}", timeout=LIMIT, context=mailauth_factory.ca.ssl_context())
    server.close()
    (seen,) = server.requests
    assert (seen.method, seen.status, seen.is_vouched_for) == (None, 0, False)


def test_a_client_that_says_nothing_stops_nobody_and_ends_with_the_server(mailauth_factory, monkeypatch):
    monkeypatch.setattr(webserver._Handler, "timeout", 10 * LIMIT)
    server = WebServer(HOST, PATH, status=200, text="<file/>", secrets={}, **with_certificate(mailauth_factory.ca))
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as silent:
        trusting = ssl._create_unverified_context()
        with urllib.request.urlopen(f"https://127.0.0.1:{server.port}{PATH}", timeout=LIMIT, context=trusting) as file:
            assert file.read() == b"<file/>"
        closing = threading.Thread(target=server.close, daemon=True)
        closing.start()
        assert silent.recv(1) == b""
        closing.join(LIMIT)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mailauth web")] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), LIMIT)


def test_the_end_waits_for_what_has_come(monkeypatch):
    server = WebServer(HOST, PATH, status=200, text="<file/>", secrets={})
    order, has_come, goes_on = [], threading.Event(), threading.Event()

    def shown(*_):
        has_come.set()
        goes_on.wait(LIMIT)
        order.append("noted")
        return ""

    def close():
        server.close()
        order.append("closed")

    monkeypatch.setattr(webserver._Server, "shown", shown)
    closing = threading.Thread(target=close)
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert has_come.wait(LIMIT)
        closing.start()
        server._thread.join(LIMIT)  # from here on nobody is let in
        closing.join(0.1)
        assert closing.is_alive()
        goes_on.set()
        closing.join(LIMIT)
    assert order == ["noted", "closed"]
    assert [one.path for one in server.requests] == [""]


def test_a_silent_client_that_is_met_after_the_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(webserver._Handler, "timeout", 10 * LIMIT)
    server = WebServer(HOST, PATH, status=200, text="<file/>", secrets={})
    has_come, goes_on, enter = threading.Event(), threading.Event(), webserver._Server.enter

    def late(self, connection):
        has_come.set()
        goes_on.wait(LIMIT)
        enter(self, connection)

    monkeypatch.setattr(webserver._Server, "enter", late)
    closing = threading.Thread(target=server.close, daemon=True)
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as silent:
        assert has_come.wait(LIMIT)
        closing.start()
        server._thread.join(LIMIT)
        goes_on.set()
        assert silent.recv(1) == b""
        closing.join(LIMIT)
    assert not closing.is_alive()


def test_our_own_failure_is_told_at_the_end(monkeypatch):
    server = WebServer(HOST, PATH, status=200, text="", secrets={})

    def fails(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(webserver._Server, "shown", fails)
    with pytest.raises((HTTPError, ConnectionError, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}{PATH}", timeout=LIMIT)
    with pytest.raises(webserver.ServerFault, match="ZeroDivisionError"):
        server.close()


@pytest.mark.parametrize(
    ("protocol", "element", "mode", "said"),
    [
        (Protocol.SMTP, "outgoingServer", Security.STARTTLS, "STARTTLS"),
        (Protocol.IMAP, "incomingServer", Security.IMPLICIT, "SSL"),
        (Protocol.POP3, "incomingServer", Security.NONE, "plain"),
    ],
)
def test_the_text_of_the_file(protocol, element, mode, said):
    text = config_text("a&b.test", protocol, host="mail.a&b.test", port=25, mode=mode, username="<me>")
    (server,) = ET.fromstring(text).iter(element)  # noqa: S314 - our own
    assert server.get("type") == protocol
    assert [(one.tag, one.text) for one in server] == [
        ("hostname", "mail.a&b.test"),
        ("port", "25"),
        ("socketType", said),
        ("authentication", "password-cleartext"),
        ("username", "<me>"),
    ]


def test_a_client_that_resets_before_it_is_accepted_leaves_no_socket(serve, mailauth_ca, monkeypatch):
    """Python makes a socket for it, finds it gone, and forgets what it made."""
    go_on = threading.Event()
    accept = webserver._Server.get_request

    def late(server):
        go_on.wait(LIMIT)
        return accept(server)

    monkeypatch.setattr(webserver._Server, "get_request", late)
    server = serve(context=server_context(TLSPolicy(), Certificate.VALID, mailauth_ca, HOST))
    with socket.create_connection(("127.0.0.1", server.port), LIMIT) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    go_on.set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server.close()
        gc.collect()
    assert server.requests == []
