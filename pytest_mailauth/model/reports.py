"""What only a client knows: what it returned, showed and logged. Rows that need it are decided by what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORTS: Final = {
    "folders": "the names of the mailboxes that it lists: case.report(folders=[...])",
    "mailbox": "what it believes about the mailbox: case.report(mailbox={'exists': 3, 'flags': [...]})",
    "messages": "the messages that it fetched, as text: case.report(messages=[...])",
    "shown": "what it shows its user, as text: case.report(shown=...)",
    "sent": "to whom it believes to have sent: case.report(sent=[address, ...])",
}
"""What a client may report, and how it says so; the keys are the names that rows ask for."""

SENDER: Final = "alice@example.test"
"""Whom a client sends as, unless a scenario says otherwise."""
INSIDE: Final = ("folders", "mailbox", "messages")
"""What there is only for a client that has logged in: one that gave up before has nothing to report."""

MAILBOX: Final = {
    "exists": "how many messages there are (EXISTS)",
    "recent": "how many of them are recent (RECENT)",
    "flags": "the flags that there are (FLAGS)",
    "search": "the numbers that a search found (SEARCH, ESEARCH)",
    "status": "what STATUS told",
    "expunged": "the numbers of messages that went away (EXPUNGE, VANISHED)",
    "namespace": "the name spaces (NAMESPACE)",
    "id": "what the server says it is (ID)",
    "enabled": "the extensions that are in force (ENABLED)",
    "quota": "the quota roots (QUOTAROOT)",
    "metadata": "annotations (METADATA)",
}
"""The keys of ``mailbox``, each with what it holds and the responses that it comes from. Report those that you have."""


def texts(value: Any) -> Iterator[str]:
    """Yield every text and every number in what a client reported, at any depth; bytes as they would be read."""
    if isinstance(value, bytes | bytearray):
        yield bytes(value).decode("utf-8", "replace")
    elif isinstance(value, dict):
        yield from texts([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from texts(item)
    elif value is not None:
        yield str(value)


WORK: Final = {
    "recipients": "sends to case.recipients",
    "message": "sends case.message where there is one",
    "local_name": "introduces itself with case.local_name where there is one",
    "mailbox": "selects case.mailbox",
    "message_number": "retrieves the message case.message_number",
    "draft": "appends case.draft where there is one",
    "client_certificates": "has the certificates of case.client_certificates, and shows its account's own where asked",
    "fresh_token": "asks case.fresh_token for another token when its own is refused",
    "subject": "writes case.subject into its message where there is one",
    "pinned": "accepts the certificate with the fingerprint case.pinned, for this account, where there is one",
    "by_default": "calls its library without any TLS setting where case.by_default is set",
    "sts_policy": "honours the MTA-STS policy case.sts_policy where there is one",
    "tlsa": "honours the TLSA records case.tlsa where there are some",
    "requires_tls": "sends with REQUIRETLS where case.requires_tls is set",
}
"""What a client may be told beyond its account, and what it does with that; the keys are fields of a case."""
