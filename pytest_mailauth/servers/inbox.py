"""Waiting for a message: told by the delivery itself, so nobody polls, sleeps, or keeps a thread for it.

Whoever waits hangs up a bell, looks through what is there, and looks again whenever the bell has rung. The servers'
thread only rings; what is looked for is decided in the waiting test, where an error of its own is raised too.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.model.canary import Account, Secret
from pytest_mailauth.model.errors import ConfigError, MessageNotArrived
from pytest_mailauth.servers.wanted import Wanted, account_of_failure

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Awaitable, Callable, Iterator

    from pytest_mailauth.servers.letters import Message
    from pytest_mailauth.servers.mailstore import MailStore
    from pytest_mailauth.servers.server import MailServer
    from pytest_mailauth.servers.wire.loop import LoopThread

TIMEOUT: Final = 5.0
"""Seconds to wait for a message when nobody says otherwise."""


class Inbox:
    """The messages that clients submitted to the servers of one environment, and who waits for one."""

    def __init__(self, store: MailStore, loop: LoopThread) -> None:
        self._store = store
        self._loop = loop
        self._lock = threading.Lock()
        self._bells: list[Callable[[], object]] = []
        store.on_delivery = self.ring

    def ring(self) -> None:
        """Tell whoever waits to look again: a message came, or a server is no more."""
        with self._lock:
            bells = tuple(self._bells)
        for bell in bells:
            with contextlib.suppress(RuntimeError):  # the event loop of a test that is over
                bell()

    @contextlib.contextmanager
    def heard_by(self, bell: Callable[[], object]) -> Iterator[None]:
        """Ring *bell*, on whatever thread, until the block is left."""
        with self._lock:
            self._bells.append(bell)
        try:
            yield
        finally:
            with self._lock:
                self._bells.remove(bell)

    def now(self) -> tuple[Message, ...]:
        """Return the messages delivered up to this moment, without asking the servers' thread."""
        return tuple(self._store.submitted)

    def settled(self) -> tuple[Message, ...]:
        """Return the messages once the servers have dealt with everything that has already reached them."""
        return self._loop.call(self.now) if self._loop.running else self.now()

    def load(self, path: str | os.PathLike[str], mailbox: str) -> int:
        """Put the messages of a file into a mailbox of the first account, and return how many they are."""
        from pytest_mailauth.servers.mailfiles import mailbox_name, read  # noqa: PLC0415 - few tests load files

        name, letters = mailbox_name(mailbox), read(path)

        def fill() -> None:
            target = self._store.made(self._store.accounts[0], name)
            for letter in letters:
                target.add(letter.content, letter.flags, letter.internal_date)

        self._loop.call(fill)
        return len(letters)

    def add(self, account: Account) -> None:
        """Let another account in. See :meth:`ReadsMail.add_account`."""
        taken = {name for known in self._store.accounts for name in (known.username, known.address)}
        for name in (account.username, account.address):
            if name in taken:
                raise ConfigError(f"{name!r} is the login name or address of another account")
        self._store.accounts.append(account)


class ReadsMail:
    """What a server and an environment have in common for a test that reads mail."""

    @property
    def inbox(self) -> Inbox:
        """The inbox that is read."""
        raise NotImplementedError

    def _sources(self) -> tuple[MailServer, ...]:
        """The servers whose clients may submit what is waited for."""
        raise NotImplementedError

    def _nothing_more_comes(self) -> bool:
        """Whether every server that could still take a message is closed."""
        raise NotImplementedError

    def add_account(
        self, address: str, *, username: str | None = None, password: str | None = None, token: str | None = None
    ) -> Account:
        """Let another account log in to the servers of this environment, those that run already included.

        Args:
            address: Its mail address; mail to it lands in its INBOX.
            username: Its login name; None (default) for one with a random part.
            password: Its password; None for an unguessable one.
            token: Its bearer token; None for an unguessable one.

        Raises:
            ConfigError: The login name or the address is taken.
        """
        fresh = Account.fresh(address)
        account = Account(
            username if username is not None else fresh.username,
            Secret(password) if password is not None else fresh.password,
            address,
            Secret(token) if token is not None else fresh.token,
        )
        self.inbox.add(account)
        return account

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that clients submitted to the servers of this environment, in order of arrival.

        What a client stores with IMAP's APPEND was not submitted: ``session.stored`` says that it came, and IMAP hands
        it out.
        """
        return self.inbox.settled()

    def wait_for_message(
        self,
        *,
        to: str | None = None,
        subject: str | re.Pattern[str] | None = None,
        match: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = TIMEOUT,
    ) -> Message:
        """Return the first message that fits, at once if it is already there, else as soon as it arrives.

        It blocks the thread: where the application runs in the event loop of the test, use :meth:`await_message`.

        Args:
            to: An envelope recipient, in any case; BCC counts.
            subject: The whole decoded subject, or a compiled pattern to be found in it.
            match: Called with each message that fits so far, in the waiting thread; a true answer takes it.
            after: Only messages that arrived later than this one, for a second message of the same kind.
            timeout: Seconds to wait at most. Default 5. With 0, only what is already there counts.

        Raises:
            MessageNotArrived: None came in time, or none can come because the servers are closed.
            ConfigError: An argument makes no sense.
        """
        __tracebackhide__ = True
        wanted = Wanted(to=to, subject=subject, match=match, after=after, timeout=timeout)
        rung = threading.Event()
        deadline = time.monotonic() + wanted.timeout
        with self.inbox.heard_by(rung.set):
            while (found := wanted.look(self.inbox.now())) is None and not self._nothing_more_comes():
                if not rung.wait(min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX)):
                    break
                rung.clear()
        return found or self._last_look(wanted, blocked=_in_event_loop())

    async def await_message(
        self,
        *,
        to: str | None = None,
        subject: str | re.Pattern[str] | None = None,
        match: Callable[[Message], object] | None = None,
        after: Message | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - the same arguments as those of its twin
    ) -> Message:
        """Do what :meth:`wait_for_message` does without blocking the event loop, under asyncio, trio or anyio.

        It can be cancelled. Arguments and errors are the same.
        """
        __tracebackhide__ = True
        wanted = Wanted(to=to, subject=subject, match=match, after=after, timeout=timeout)
        make_event, soon, rests = _library()
        event = make_event()
        deadline = time.monotonic() + wanted.timeout
        with self.inbox.heard_by(lambda: soon(lambda: event.set())):  # noqa: PLW0108 - the event of that moment
            while (found := wanted.look(self.inbox.now())) is None and not self._nothing_more_comes():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                await rests(event, left)
                # A bell that rings between here and the next look sets the new event, which costs one look more.
                event = make_event()
        return found or self._last_look(wanted)

    def load(self, path: str | os.PathLike[str], mailbox: str = "INBOX") -> int:
        r"""Put the messages of a file into a mailbox of the account, so that POP3 and IMAP hand them out.

        They were not submitted, so they are not among :attr:`messages`. Line ends become CRLF; IMAP's internal date
        is the Date header, or now.

        Args:
            path: An ``.eml`` file, an mbox file, or a Maildir, told apart by what is in them. Status headers of an
                mbox and the flags of a Maildir become IMAP flags.
            mailbox: Where to put them; made if there is none. POP3 knows ``"INBOX"`` alone.

        Returns:
            How many messages were put there.

        Raises:
            ConfigError: There is no such file, it is none of these or holds no message, or no mailbox can have
                this name.
            RuntimeError: The servers are closed.
        """
        return self.inbox.load(path, mailbox)

    def _last_look(self, wanted: Wanted, *, blocked: bool = False) -> Message:
        __tracebackhide__ = True
        # What was on its way when time ran out is dealt with by now; nobody is told that it did not arrive.
        messages = self.inbox.now() if self._nothing_more_comes() else self.inbox.settled()
        found = wanted.look(messages)
        if found is None:
            raise MessageNotArrived(
                account_of_failure(
                    wanted, messages, self._sources(), over=self._nothing_more_comes(), blocked_loop=blocked
                )
            )
        return found


async def _rest_asyncio(event: Any, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _rest_trio(event: Any, seconds: float) -> None:
    with sys.modules["trio"].move_on_after(seconds):
        await event.wait()


def _in_event_loop() -> bool:
    try:
        _library()
    except ConfigError:
        return False
    return True


def _library() -> tuple[
    Callable[[], Any], Callable[[Callable[[], object]], object], Callable[[Any, float], Awaitable[None]]
]:
    """Return how the running event loop makes an event, takes a call from another thread, and waits.

    anyio runs on one of the two. trio has always imported sniffio, which knows who is running.
    """
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None and "trio" in sys.modules:
        with contextlib.suppress(sniffio.AsyncLibraryNotFoundError):
            if sniffio.current_async_library() == "trio":
                trio: Any = sys.modules["trio"]
                return trio.Event, trio.lowlevel.current_trio_token().run_sync_soon, _rest_trio
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "await_message() runs under asyncio, trio or anyio; elsewhere use wait_for_message()"
        ) from None
    return asyncio.Event, loop.call_soon_threadsafe, _rest_asyncio
