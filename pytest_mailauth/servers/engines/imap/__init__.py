"""The IMAP4rev1 engine (RFC 3501), sans-I/O: bytes in, replies and facts out.

Nothing here opens a socket, starts a thread, reads a clock or knows a scenario. A command is one row in ``commands``
and one handler in the room it belongs to.
"""

from pytest_mailauth.servers.engines.imap.engine import ImapEngine

__all__ = ["ImapEngine"]
