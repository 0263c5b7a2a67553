"""The functions that are replaced while at least one network is open, and that they are put back.

Two stages: ``lookup`` gives an address that stands for a name, ``connect`` leads from there to the server.
"""

from __future__ import annotations

import _socket
import asyncio
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.network import connect, escapes, lookup, patches, patience_asyncio, scope, threads, uncovered

if TYPE_CHECKING:
    from pytest_mailauth.network.directory import Directory

_SOCKET: Final[type] = next(one for one in ssl.SSLSocket.__mro__ if _socket.socket in one.__bases__)
"""The class ``socket.socket``, even if a guard has put another in its place."""
_REPLACED: Final[tuple[tuple[Any, ...], ...]] = (
    (socket, "getaddrinfo", lookup.getaddrinfo),
    (socket, "gethostbyname", lookup.gethostbyname),
    (socket, "gethostbyname_ex", lookup.gethostbyname_ex),
    (socket, "gethostbyaddr", lookup.gethostbyaddr),
    (socket, "getnameinfo", lookup.getnameinfo),
    (_SOCKET, "connect", connect.connect),
    (_SOCKET, "connect_ex", connect.connect_ex),
    (_SOCKET, "sendto", connect.sendto),
    (_SOCKET, "sendmsg", connect.sendmsg),
    (_SOCKET, "getsockopt", connect.getsockopt),
    (threading.Thread, "start", scope.start, False),
    (ThreadPoolExecutor, "submit", threads.submit, False),
    (asyncio.BaseEventLoop, "run_in_executor", patience_asyncio.run_in_executor, False),
)
_lock = threading.RLock()
_patches: list[patches.Patch] = []


def install(directory: Directory) -> None:
    """Lead connections by this directory, too."""
    escapes.listen()
    with _lock:
        if not _patches:
            _patches.extend(patches.replace((*_REPLACED, *uncovered.of_uvloop())))
        scope.enter(directory)


def remove(directory: Directory) -> None:
    """Lead no more by this directory. Harmless when repeated."""
    with _lock:
        scope.leave(directory)
        if not scope.any_open():
            patches.restore(_patches)
            _patches.clear()
