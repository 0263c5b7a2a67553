"""Where the facts of the provider profiles can be read: one name for each page, thread, RFC and paragraph.

A row cites what was read. A provider's own help page that others quote is cited for the provider as a whole, as the
place to look whether it is still so.
"""

from __future__ import annotations

from typing import Final

from pytest_mailauth.network.profile import Source


def _thread(repository: str, number: int, about: str) -> Source:
    return Source(f"{about} ({repository}#{number})", f"https://github.com/{repository}/issues/{number}")


S7: Final = Source("S7")
S8: Final = Source("S8")
S9: Final = Source("S9")
S11: Final = Source("S11")
S12: Final = Source("S12")
S13: Final = Source("S13")
S14: Final = Source("S14")
S15: Final = Source("S15")
S16: Final = Source("S16")

APOP: Final = Source("RFC 1939 section 7")
CRAM: Final = Source("RFC 2195")
EXAMPLE_NAMES: Final = Source("RFC 2606")
SUBMISSION: Final = Source("RFC 6409")
SCRAM: Final = Source("RFC 7677")
IMPLICIT: Final = Source("RFC 8314 section 3")
OLD_TLS: Final = Source("RFC 8996")

GOOGLE: Final = Source("IMAP, POP, and SMTP (Google)", "https://developers.google.com/gmail/imap/imap-smtp")
GOOGLE_PASSWORDS: Final = Source(
    "Sign in with app passwords (Google)", "https://support.google.com/accounts/answer/185833"
)
GMAIL_SMTP: Final = _thread("PHPMailer/PHPMailer", 633, "A session with smtp.gmail.com")
GMAIL_SMTP_OFFERS: Final = Source(
    "An EHLO list of smtp.gmail.com (test/mua_test.exs of Mua)", "https://github.com/ruslandoga/mua"
)
GMAIL_SMTP_INVALID: Final = _thread("nodemailer/nodemailer", 1167, "A refusal of smtp.gmail.com")
GMAIL_SMTP_TOO_MANY: Final = _thread("gophish/gophish", 1836, "A refusal of smtp.gmail.com")
GMAIL_APP_PASSWORD: Final = _thread("bberkay/openmail", 1, "Refusals of imap.gmail.com and smtp.gmail.com")
GMAIL_IMAP: Final = _thread("gutmensch/docker-dmarc-report", 18, "A session with imap.gmail.com")
GMAIL_IMAP_OFFERS: Final = _thread("emersion/go-sasl", 6, "Capabilities of imap.gmail.com")
GMAIL_POP3: Final = _thread("horde/Imap_Client", 36, "A session with pop.gmail.com")
GMAIL_TOKENS: Final = Source(
    "OAuth 2.0 Mechanism (Google)", "https://developers.google.com/gmail/imap/xoauth2-protocol"
)
GMAIL_POP3_INVALID: Final = Source(
    "A session with pop.gmail.com (README of node-poplib)", "https://github.com/ditesh/node-poplib"
)

MICROSOFT_OAUTH: Final = Source(
    "Authenticate an IMAP, POP or SMTP connection using OAuth (Microsoft)",
    "https://learn.microsoft.com/en-us/exchange/client-developer/legacy-protocols/"
    "how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth",
)
MICROSOFT_PRINTERS: Final = Source(
    "Fix issues with printers, scanners, and LOB apps that send email using Microsoft 365 (Microsoft)",
    "https://learn.microsoft.com/en-us/exchange/mail-flow-best-practices/"
    "fix-issues-with-printers-scanners-and-lob-applications-that-send-email-using-off",
)
MICROSOFT_BASIC: Final = Source(
    "Exchange Online to retire Basic auth for Client Submission (Microsoft)",
    "https://techcommunity.microsoft.com/t5/exchange-team-blog/"
    "exchange-online-to-retire-basic-auth-for-client-submission-smtp/ba-p/4114750",
)
MICROSOFT_READING: Final = _thread("simonrob/email-oauth2-proxy", 109, "A session with outlook.office365.com, port 993")
MICROSOFT_POP3: Final = _thread("simonrob/email-oauth2-proxy", 62, "A session with outlook.office365.com, port 995")
IMAP_OFFERS: Final = _thread("zone-eu/wildduck", 943, "Capabilities of four providers, IMAP")
MICROSOFT_IMAP_REFUSES: Final = _thread("nicm/fdm", 100, "A refusal of outlook.office365.com")
OUTLOOK: Final = Source(
    "POP, IMAP, and SMTP settings for Outlook.com (Microsoft)",
    "https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-8361e398-8af4-4e97-b147-6c6c4ac95353",
)
OUTLOOK_REFUSES: Final = _thread("muquit/mailsend-go", 68, "A session with smtp-mail.outlook.com")

YAHOO_SETTINGS: Final = Source(
    "Yahoo Mail protocols (Unanswered)", "https://unanswered.io/guide/yahoo-mail-protocols-imap-pop-smtp-settings"
)
YAHOO_IMAP: Final = Source("IMAP settings (Yahoo help)", "https://help.yahoo.com/kb/SLN4075.html")
YAHOO_POP3: Final = Source("POP settings (Yahoo help)", "https://help.yahoo.com/kb/SLN4724.html")
YAHOO_PASSWORDS: Final = Source("App passwords (Yahoo help)", "https://help.yahoo.com/kb/SLN15241.html")
YAHOO_OAUTH: Final = Source(
    "Yahoo IMAP/SMTP exchange using OAuth 2", "https://senders.yahooinc.com/developer/documentation"
)
YAHOO_SMTP_PORTS: Final = _thread("PHPMailer/PHPMailer", 2034, "Ports and a session with smtp.mail.yahoo.com")
YAHOO_SMTP: Final = _thread("PHPMailer/PHPMailer", 1287, "A session with smtp.mail.yahoo.com")
YAHOO_IMAP_SESSION: Final = _thread("RainLoop/rainloop-webmail", 1354, "A session with imap.mail.yahoo.com")
YAHOO_POP3_SESSION: Final = Source(
    "A session with pop.mail.yahoo.com (README of akshut/pop3)", "https://github.com/akshut/pop3"
)

APPLE: Final = Source(
    "iCloud Mail server settings for other email client apps (Apple)", "https://support.apple.com/en-us/102525"
)
APPLE_SETTINGS: Final = Source(
    "iCloud email settings (Clean Email)", "https://clean.email/blog/email-settings/icloud-email-settings"
)
APPLE_SMTP: Final = Source(
    "SMTP 101, a session with smtp.mail.me.com (D. Frias)", "https://dzfrias.dev/blog/email-client-pt2/"
)
APPLE_IMAP: Final = _thread("jstedfast/MailKit", 295, "A session with imap.mail.me.com")

FASTMAIL: Final = Source(
    "Server names and ports (Fastmail)", "https://www.fastmail.com/help/technical/servernamesandports.html"
)
FASTMAIL_587: Final = Source("Fastmail (a user's guide)", "https://xenocept.com/docs/email-setup/fastmail.html")
FASTMAIL_SMTP: Final = Source(
    "A session with smtp.fastmail.com (README of demo-fastmail-smtp)",
    "https://github.com/joelparkerhenderson/demo-fastmail-smtp",
)
FASTMAIL_SMTP_INVALID: Final = Source(
    "A refusal of smtp.fastmail.com (SMTP_AUTH_FIX_GUIDE.md of eezmail)", "https://github.com/tdaniel1925/eezmail"
)
FASTMAIL_IMAP: Final = _thread("rustmailer/bichon", 152, "A refusal of imap.fastmail.com")
