"""What everything else speaks: terms, settings and observed facts.

Nothing here opens a socket, reads a clock, starts a thread or imports ``ssl`` or ``asyncio``.
Everything is immutable once built.
"""
