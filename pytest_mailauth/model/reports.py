"""What only a client knows: what it returned, showed and logged. Rows that need it are decided by what it reports."""

from __future__ import annotations

from typing import Final

REPORTS: Final = {
    "folders": "the names of the mailboxes that it lists: case.report(folders=[...])",
    "mailbox": "what it believes about the mailbox, as text: case.report(mailbox={'exists': 3, 'flags': [...]})",
    "messages": "the messages that it fetched, as text: case.report(messages=[...])",
    "shown": "what it shows its user, as text: case.report(shown=...)",
    "sent": "to whom it believes to have sent: case.report(sent=[address, ...])",
}
"""What a client may report, and how it says so; the keys are the names that rows ask for."""

WORK: Final = {
    "recipients": "sends to case.recipients",
    "message": "sends case.message where there is one",
    "local_name": "introduces itself with case.local_name where there is one",
    "mailbox": "selects case.mailbox",
    "message_number": "retrieves the message case.message_number",
    "draft": "appends case.draft where there is one",
    "client_certificates": "has the certificates of case.client_certificates, and shows its account's own where asked",
}
"""What a client may be told beyond its account, and what it does with that; the keys are fields of a case."""
