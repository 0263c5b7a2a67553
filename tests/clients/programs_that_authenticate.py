"""Mail programs and libraries of other people, and how each of them is told to log in with one mechanism.

A row says what a client speaks; a recipe turns an errand into a command line and its files, or into calls of a
library. Nothing is said here about what these clients do beyond that they log in or report that they were refused.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import importlib
import importlib.util
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
DEADLINE = 10.0
"""Seconds that one login may take."""

SUBMISSION = """\
From: sender@example.test
To: recipient@example.test
Subject: from a program

Hello.
"""


class Errand(NamedTuple):
    """What a client is given: where to log in, as whom and how."""

    protocol: str
    security: str
    mechanism: str
    host: str
    port: int
    username: str
    password: str
    token: str
    cafile: str
    certificate: Path
    """The client's certificate and key; only EXTERNAL shows it."""
    folder: Path
    """Its home directory."""

    @property
    def secret(self):
        return self.token if "OAUTH" in self.mechanism or "BEARER" in self.mechanism else self.password

    @property
    def implicit(self):
        return self.security == "implicit"

    @property
    def in_clear(self):
        return self.security == "none"

    def file(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)


class Recipe(NamedTuple):
    """How one client is run, and what it speaks by its own account."""

    module: str | None
    """The library, or None for a program."""
    log_in: Callable[[Errand], object]
    """Returns a command line for a program; for a library, logs in and returns the words of a refusal or None."""
    speaks: Callable[[str], bool] = lambda _mechanism: True
    """Whether this build of it has the mechanism."""
    is_here: Callable[[], bool] | None = None
    """Whether it is installed, where neither its module nor its name as a command tells."""


class Missing(Exception):
    """The client is not installed here, or was built without the mechanism."""


def run(argv, folder, stdin="", **environment):
    """Run a program in a session of its own and return its exit status and all that it printed."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", **environment},
        cwd=folder,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    with process:
        try:
            printed, _ = process.communicate(stdin, DEADLINE)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, printed


def refusal(client, errand):
    """Log in with *client*; return None when it reports success, and its words when it reports failure.

    Raises:
        Missing: It is not here, or cannot.
    """
    recipe = CLIENTS[client]
    program = client.partition(" ")[0]
    if recipe.is_here is not None:
        found = recipe.is_here()
    else:
        found = (importlib.util.find_spec(recipe.module) if recipe.module else shutil.which(program)) is not None
    if not found:
        raise Missing(f"{program} is not installed")
    if not recipe.speaks(errand.mechanism):
        raise Missing(f"this build of {program} has no {errand.mechanism}")
    if recipe.module is not None:
        return recipe.log_in(errand)
    status, printed = run(recipe.log_in(errand), errand.folder, SUBMISSION if program == "msmtp" else "")
    return None if status == 0 else f"exit status {status}: {printed}"


@functools.cache
def printed_by(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False).stdout


def listed_by(*argv):
    """Return whether a program names a mechanism when it is asked what it was built with."""
    return lambda mechanism: mechanism in printed_by(*argv).upper().split()


# Programs.


def curl(errand):
    scheme = errand.protocol + "s" * errand.implicit
    argv = ["curl", "-q", "--silent", "--show-error", "--max-time", str(DEADLINE), "--noproxy", "*"]
    argv += [] if errand.in_clear else ["--ssl-reqd"]
    argv += ["--cacert", errand.cafile, "--url", f"{scheme}://{errand.host}:{errand.port}/"]
    sign = "+" if errand.mechanism == "APOP" else ""
    argv += ["--login-options", f"AUTH={sign}{errand.mechanism}"]
    if errand.secret is errand.token:
        argv += ["--user", f"{errand.username}:", "--oauth2-bearer", errand.token]
    elif errand.mechanism == "EXTERNAL":
        argv += ["--user", f"{errand.username}:", "--cert", str(errand.certificate)]
    else:
        argv += ["--user", f"{errand.username}:{errand.password}"]
    if errand.protocol == "smtp":
        argv += ["--mail-from", "sender@example.test", "--mail-rcpt", "recipient@example.test"]
        argv += ["--upload-file", errand.file("message", SUBMISSION)]
    return argv


def curl_speaks(mechanism):
    return not mechanism.startswith("SCRAM") or "gsasl" in printed_by("curl", "--version").lower()


def _settings(errand):
    """Return what msmtp and mpop are told in the same words."""
    external = errand.mechanism == "EXTERNAL"
    return {
        "host": errand.host,
        "port": errand.port,
        "timeout": int(DEADLINE),
        "tls": "off" if errand.in_clear else "on",
        "tls_starttls": "off" if errand.implicit else "on",
        "tls_trust_file": errand.cafile,
        "auth": errand.mechanism.lower(),
        "user": errand.username,
        **({"tls_cert_file": errand.certificate, "tls_key_file": errand.certificate} if external else {}),
        "passwordeval": f"cat {errand.file('secret', errand.secret)}",
    }


def _account(errand, settings):
    lines = (f"{key} {value}\n" for key, value in settings.items())
    return errand.file("config", f"account default\n{''.join(lines)}")


def msmtp(errand):
    settings = _settings(errand) | {"from": "sender@example.test", "domain": "localhost"}
    return ["msmtp", "-C", _account(errand, settings), "recipient@example.test"]


def mpop(errand):
    places = {"delivery": f"mbox {errand.folder / 'mbox'}", "uidls_file": errand.folder / "uidls"}
    return ["mpop", "-C", _account(errand, _settings(errand) | places), "--auth-only"]


SWAKS = {"implicit": ("--tls-on-connect",), "starttls": ("--tls",), "none": ()}


def swaks(errand):
    return [
        *("swaks", "--server", errand.host, "--port", str(errand.port), "--timeout", f"{DEADLINE:g}s"),
        *("--from", "sender@example.test", "--to", "recipient@example.test", "--helo", "localhost"),
        *SWAKS[errand.security],
        *(() if errand.in_clear else ("--tls-verify", "--tls-ca-path", errand.cafile)),
        *("--auth", errand.mechanism, "--auth-user", errand.username, "--auth-password", errand.password),
    ]


def swaks_speaks(mechanism):
    # What it lacks is a Perl module, of which TLS takes one and a proof another.
    wanted = {"TLS supported", *(["AUTH CRAM-MD5 supported"] if mechanism == "CRAM-MD5" else [])}
    return wanted <= {line.removeprefix("=== ") for line in printed_by("swaks", "--support").splitlines()}


def gsasl(errand):
    argv = ["gsasl", f"--{errand.protocol}", "--connect", f"{errand.host}:{errand.port}"]
    argv += ["--no-starttls" if errand.in_clear else "--starttls"]
    argv += ["--x509-ca-file", errand.cafile, "--mechanism", errand.mechanism, "--hostname", errand.host]
    if errand.mechanism == "ANONYMOUS":
        return [*argv, "--anonymous-token", "trace"]
    if errand.mechanism == "EXTERNAL":
        pem = str(errand.certificate)
        return [*argv, "--x509-cert-file", pem, "--x509-key-file", pem, "--authorization-id", errand.username]
    if not errand.mechanism.endswith("-PLUS"):
        argv += ["--no-cb"]
    if errand.mechanism == "PLAIN":
        argv += ["--authorization-id", ""]
    return [*argv, "--authentication-id", errand.username, "--password", errand.password]


MBSYNC = """\
IMAPAccount account
Host {host}
Port {port}
User {username}
Pass {password}
SSLType {ssl_type}
SystemCertificates no
CertificateFile {cafile}
AuthMechs {mechanism}

IMAPStore far
Account account

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX

Channel mail
Far :far:
Near :near:
"""


def mbsync(errand):
    ssl_type = "IMAPS" if errand.implicit else "STARTTLS"
    settings = errand.file("config", MBSYNC.format(**errand._asdict(), ssl_type=ssl_type))
    (errand.folder / "mail").mkdir()
    status, printed = run(["mbsync", "--config", settings, "--list", "mail"], errand.folder)
    if "mechanism(s) not available" in printed:  # each is a module of its library
        raise Missing(f"this mbsync has no {errand.mechanism}")
    return None if status == 0 else f"exit status {status}: {printed}"


# `s_client` is no mail client: it is told every word, and what it prints says how it went.


WORDS = {
    "smtp": "EHLO localhost\nAUTH EXTERNAL {name}\nQUIT\n",
    "pop3": "AUTH EXTERNAL {name}\nQUIT\n",
    "imap": "a AUTHENTICATE EXTERNAL {name}\nb LOGOUT\n",
}
SUCCESS = {"smtp": "235 ", "pop3": "+OK maildrop", "imap": "a OK "}


def openssl(errand):
    argv = ["openssl", "s_client", "-quiet", "-crlf", "-connect", f"127.0.0.1:{errand.port}"]
    argv += ["-servername", errand.host, "-verify_hostname", errand.host, "-verify_return_error"]
    argv += ["-CAfile", errand.cafile, "-cert", str(errand.certificate), "-key", str(errand.certificate)]
    argv += [] if errand.implicit else ["-starttls", errand.protocol]
    name = base64.b64encode(errand.username.encode()).decode()
    status, printed = run(argv, errand.folder, WORDS[errand.protocol].format(name=name))
    return None if status == 0 and SUCCESS[errand.protocol] in printed else f"exit status {status}: {printed}"


# Libraries in processes of their own: of another language, or with a loop that can run only once.


def told(argv, **environment):
    """Return how a script is told its errand and reports a refusal."""

    def log_in(errand):
        fields = {key: getattr(errand, key) for key in ("protocol", "mechanism", "host", "port", "username", "cafile")}
        words = json.dumps(fields | {"secret": errand.secret, "implicit": errand.implicit})
        status, printed = run(argv(), errand.folder, words, **{key: value() for key, value in environment.items()})
        return None if status == 0 else f"exit status {status}: {printed}"

    return log_in


@functools.cache
def node_modules():
    return printed_by("npm", "root", "--global").strip() if shutil.which("npm") and shutil.which("node") else ""


def of_node(name):
    script = HERE / f"{name}_client.cjs"
    return Recipe(
        name,
        told(lambda: ["node", str(script)], NODE_PATH=node_modules),
        is_here=lambda: bool(node_modules()) and Path(node_modules(), name).is_dir(),
    )


# Libraries.


def aiosmtplib(errand):
    library = importlib.import_module("aiosmtplib")

    async def send():
        client = library.SMTP(
            hostname=errand.host,
            port=errand.port,
            timeout=DEADLINE,
            use_tls=errand.implicit,
            start_tls=errand.security == "starttls",
            tls_context=ssl.create_default_context(cafile=errand.cafile),
        )
        async with client:
            await client.ehlo()
            await getattr(client, AIOSMTPLIB[errand.mechanism])(errand.username, errand.secret)

    try:
        asyncio.run(send())
    except library.SMTPAuthenticationError as error:
        return str(error)
    return None


AIOSMTPLIB = {"PLAIN": "auth_plain", "LOGIN": "auth_login", "CRAM-MD5": "auth_crammd5", "XOAUTH2": "auth_xoauth2"}


def aiosmtplib_speaks(mechanism):
    return hasattr(importlib.import_module("aiosmtplib").SMTP, AIOSMTPLIB[mechanism])


IMAPCLIENT = {"PLAIN": "plain_login", "XOAUTH2": "oauth2_login", "OAUTHBEARER": "oauthbearer_login"}


def imapclient(errand):
    library = importlib.import_module("imapclient")
    context = ssl.create_default_context(cafile=errand.cafile)
    args = {"port": errand.port, "timeout": DEADLINE, "ssl": errand.implicit}
    with library.IMAPClient(errand.host, ssl_context=context if errand.implicit else None, **args) as client:
        if errand.security == "starttls":
            client.starttls(context)
        try:
            getattr(client, IMAPCLIENT[errand.mechanism])(errand.username, errand.secret)
        except library.exceptions.LoginError as error:
            return str(error)
        client.select_folder("INBOX")
    return None


IMAP_TOOLS = {"PLAIN": "login_utf8", "XOAUTH2": "xoauth2"}


def imap_tools(errand):
    library = importlib.import_module("imap_tools")
    context = ssl.create_default_context(cafile=errand.cafile)
    place, options = (errand.host, errand.port), {"timeout": DEADLINE}
    if errand.in_clear:
        made = library.MailBoxUnencrypted(*place, **options)
    else:
        box = library.MailBox if errand.implicit else library.MailBoxStartTls
        made = box(*place, **options, ssl_context=context)
    with made as mailbox:
        try:
            getattr(mailbox, IMAP_TOOLS[errand.mechanism])(errand.username, errand.secret)
        except mailbox.client.error as error:
            return str(error)
    return None


CLIENTS = {
    "curl": Recipe(None, curl, curl_speaks),
    "curl --sasl-ir": Recipe(None, lambda errand: [*curl(errand), "--sasl-ir"], curl_speaks),
    "msmtp": Recipe(None, msmtp, listed_by("msmtp", "--version")),
    "mpop": Recipe(None, mpop, listed_by("mpop", "--version")),
    "swaks": Recipe(None, swaks, swaks_speaks),
    "gsasl": Recipe(None, gsasl, listed_by("gsasl", "--client-mechanisms")),
    "aiosmtplib": Recipe("aiosmtplib", aiosmtplib, aiosmtplib_speaks),
    "IMAPClient": Recipe("imapclient", imapclient),
    "imap-tools": Recipe("imap_tools", imap_tools),
    "mbsync": Recipe("", mbsync, is_here=lambda: shutil.which("mbsync") is not None),
    "openssl": Recipe("", openssl, is_here=lambda: shutil.which("openssl") is not None),
    "nodemailer": of_node("nodemailer"),
    "imapflow": of_node("imapflow"),
    "Twisted": Recipe("twisted", told(lambda: [sys.executable, str(HERE / "twisted_client.py")])),
}

TOKENS = ("XOAUTH2", "OAUTHBEARER")
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
SIMPLE = ("PLAIN", "LOGIN", "CRAM-MD5")
BOTH = ("starttls", "implicit")
CLEAR = ("none",)

ROWS = (
    ("curl", ("smtp", "pop3", "imap"), BOTH, (*SIMPLE, *SCRAM[:2], *TOKENS, "EXTERNAL")),
    ("curl", ("pop3",), BOTH, ("APOP",)),
    ("curl --sasl-ir", ("smtp", "pop3", "imap"), BOTH, ("PLAIN", "LOGIN", *TOKENS, "EXTERNAL")),
    ("msmtp", ("smtp",), BOTH, (*SIMPLE, *SCRAM[:2], *TOKENS, "EXTERNAL")),
    ("mpop", ("pop3",), BOTH, (*SIMPLE, *SCRAM[:2], *TOKENS, "EXTERNAL", "APOP")),
    ("swaks", ("smtp",), BOTH, SIMPLE),
    # gsasl has no implicit TLS, and does not speak POP3.
    ("gsasl", ("smtp", "imap"), ("starttls",), (*SIMPLE, *SCRAM, "EXTERNAL", "ANONYMOUS")),
    ("aiosmtplib", ("smtp",), BOTH, tuple(AIOSMTPLIB)),
    ("IMAPClient", ("imap",), BOTH, tuple(IMAPCLIENT)),
    ("imap-tools", ("imap",), BOTH, tuple(IMAP_TOOLS)),
    ("mbsync", ("imap",), BOTH, ("PLAIN", "CRAM-MD5", *SCRAM[:2])),
    ("openssl", ("smtp", "pop3", "imap"), BOTH, ("EXTERNAL",)),
    ("nodemailer", ("smtp",), BOTH, (*SIMPLE, "XOAUTH2")),
    ("imapflow", ("imap",), BOTH, ("PLAIN", "LOGIN", *TOKENS)),
    ("Twisted", ("smtp", "imap"), BOTH, SIMPLE),
    ("Twisted", ("pop3",), BOTH, ("APOP",)),
    # In clear, where a server takes it.
    ("curl", ("smtp", "pop3", "imap"), CLEAR, (*SIMPLE, *SCRAM[:2], *TOKENS)),
    ("curl", ("pop3",), CLEAR, ("APOP",)),
    ("msmtp", ("smtp",), CLEAR, ("CRAM-MD5", *SCRAM[:2])),
    ("mpop", ("pop3",), CLEAR, ("CRAM-MD5", *SCRAM[:2], "APOP")),
    ("swaks", ("smtp",), CLEAR, SIMPLE),
    ("gsasl", ("smtp", "imap"), CLEAR, (*SIMPLE, *SCRAM[:2], "ANONYMOUS")),
    ("aiosmtplib", ("smtp",), CLEAR, tuple(AIOSMTPLIB)),
    ("IMAPClient", ("imap",), CLEAR, tuple(IMAPCLIENT)),
    ("imap-tools", ("imap",), CLEAR, tuple(IMAP_TOOLS)),
)
"""Client, protocols, ways into TLS, mechanisms: every combination of a row is tried."""
