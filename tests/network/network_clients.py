"""Clients that only connect and read the greeting, one for each way of doing so in Python."""

from __future__ import annotations

import asyncio
import ftplib
import http.client
import imaplib
import poplib
import smtplib
import socket
import ssl

import aiosmtplib
import anyio
import trio

LIMIT = 60.0
"""Seconds that a client waits at most: far above what a test may take."""
AT_ONCE = 10.0
"""Seconds in which everything is over that does not really wait."""


def with_smtplib(host, port, limit):
    with smtplib.SMTP(host, port, **limited(limit)):
        pass


def with_poplib(host, port, limit):
    poplib.POP3(host, port, **limited(limit)).close()


def with_imaplib(host, port, limit):
    imaplib.IMAP4(host, port, timeout=limit).shutdown()


def with_create_connection(host, port, limit):
    with socket.create_connection((host, port), limit) as sock:
        sock.recv(100)


def with_connect(host, port, limit):
    with socket.socket() as sock:
        sock.settimeout(limit)
        sock.connect((host, port))
        sock.recv(100)


def with_connect_ex(host, port, limit):
    with socket.socket() as sock:
        sock.settimeout(limit)
        code = sock.connect_ex((host, port))
        if code:
            raise OSError(code, "connect_ex")


def with_gethostbyname(host, port, limit):
    with socket.create_connection((socket.gethostbyname(host), port), limit):
        pass


def with_ssl_before_connect(host, port, limit):
    context = ssl.create_default_context()
    with context.wrap_socket(socket.socket(), server_hostname=host, do_handshake_on_connect=False) as sock:
        sock.settimeout(limit)
        sock.connect((host, port))


def with_http(host, port, limit):
    connection = http.client.HTTPConnection(host, port, timeout=limit)
    try:
        connection.connect()
    finally:
        connection.close()


def with_ftplib(host, port, limit):
    with ftplib.FTP() as client:  # noqa: S321 - its connecting is what is of interest
        client.connect(host, port, timeout=-999 if limit is None else limit)


async def read_greeting(opening):
    reader, writer = await opening
    await reader.readline()
    writer.close()
    await writer.wait_closed()


def with_asyncio(host, port, limit, **settings):
    asyncio.run(asyncio.wait_for(read_greeting(asyncio.open_connection(host, port, **settings)), limit))


def with_asyncio_local(host, port, limit):
    with_asyncio(host, port, limit, local_addr=("127.0.0.1", 0))


def with_happy_eyeballs(host, port, limit):
    with_asyncio(host, port, limit, happy_eyeballs_delay=0.25)


def with_sock_connect(host, port, limit):
    async def run():
        loop = asyncio.get_running_loop()
        ((*_, address), *_) = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket() as sock:
            sock.settimeout(0)
            await loop.sock_connect(sock, address)
            await loop.sock_recv(sock, 100)

    asyncio.run(asyncio.wait_for(run(), limit))


def with_aiosmtplib(host, port, limit):
    async def run():
        client = aiosmtplib.SMTP(hostname=host, port=port, timeout=limit, start_tls=False)
        await client.connect()
        await client.quit()

    asyncio.run(run())


def with_trio(host, port, limit):
    async def run():
        with trio.fail_after(float("inf") if limit is None else limit):
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.receive_some()

    trio.run(run)


def with_trio_socket(host, port, limit):
    async def run():
        with trio.fail_after(float("inf") if limit is None else limit), trio.socket.socket() as sock:
            await sock.connect((host, port))
            await sock.recv(100)

    trio.run(run)


def with_anyio(host, port, limit, backend="asyncio"):
    async def run():
        with anyio.fail_after(limit):
            async with await anyio.connect_tcp(host, port) as stream:
                await stream.receive()

    anyio.run(run, backend=backend)


def with_anyio_on_trio(host, port, limit):
    with_anyio(host, port, limit, "trio")


BLOCKING = [
    with_smtplib,
    with_create_connection,
    with_connect,
    with_connect_ex,
    with_gethostbyname,
    with_ssl_before_connect,
    with_http,
    with_ftplib,
]
OTHERS_BLOCKING = {with_poplib: 110, with_imaplib: 143}
IN_ASYNCIO = [with_asyncio, with_asyncio_local, with_sock_connect, with_aiosmtplib]
IN_LOOPS = [*IN_ASYNCIO, with_happy_eyeballs, with_trio, with_trio_socket, with_anyio, with_anyio_on_trio]
EYEBALLS = [with_happy_eyeballs, with_trio, with_anyio, with_anyio_on_trio]
ONE_AFTER_ANOTHER = [with_asyncio, with_aiosmtplib]
EVERY = [*BLOCKING, *OTHERS_BLOCKING, *IN_LOOPS]


def limited(limit):
    return {} if limit is None else {"timeout": limit}


def port_for(client):
    return OTHERS_BLOCKING.get(client, 25)


def serve(host, port):
    {25: host.smtp, 110: host.pop3, 143: host.imap}[port](port)
    return host


def tried(network):
    """Return what clients tried, in short."""
    return [(one.name, one.port, str(one.outcome)) for one in network.attempts]
