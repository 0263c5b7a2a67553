"""``mailauth_secrets`` finds what the code under test leaves lying about, and does not show it when it does."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import quopri
import re
import smtplib
import subprocess
import sys
import warnings
from email import quoprimime
from urllib.parse import quote, quote_plus, urlencode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mailauth import Account, ClientViolation, ConfigError, Secret, Secrets
from pytest_mailauth.model.canary import encodings, find, redact
from pytest_mailauth.model.events import Authentication
from pytest_mailauth.report.concealment import conceal_comparison, conceal_report

LOGGER = logging.getLogger("app.mail")


@pytest.fixture
def found(mailauth_secrets):
    """Search where a secret is, and return the flat text of the failure, in which it is not."""

    def run(*where, **options):
        with pytest.raises(ClientViolation) as caught:
            mailauth_secrets.assert_absent(*where, **options)
        text = str(caught.value)
        for secret in mailauth_secrets.known().values():
            assert find(secret, text.encode()) is None
        assert text.startswith("assert_absent: not so\n  Expected:")
        return " ".join(text.split())

    return run


GOLDEN = """\
assert_absent: not so
  Expected:    No secret of this test is found in the str, the list.
  Actual:      Password found.
  Found:
    - password, in the str, as plain text: logging in with <password>, please
    - password, in the list, item 2, as base64: AUTH PLAIN <password>
  Next step:   Keep credentials out of what is logged, printed and raised: name the account, and
               leave the secret out."""


def plain(secrets):
    return base64.b64encode(f"\0{secrets.username}\0{secrets.password}".encode()).decode()


def test_the_text_to_the_letter(mailauth_secrets):
    secrets = mailauth_secrets
    with pytest.raises(ClientViolation) as caught:
        secrets.assert_absent(f"logging in with {secrets.password}, please", ["EHLO", f"AUTH PLAIN {plain(secrets)}"])
    assert str(caught.value) == GOLDEN
    assert [entry.name for entry in caught.traceback.filter(caught)] == ["test_the_text_to_the_letter"]


def test_secrets_are_made_for_one_test_and_do_not_show_themselves(mailauth_secrets):
    secrets = mailauth_secrets
    other = Secrets()
    key = secrets.new("API key")
    values = [secrets.password, secrets.token, key, other.password, other.token]
    assert len(set(values)) == 5
    assert {repr(value) for value in values} == {"Secret(<redacted>)"}
    assert repr(secrets) == "<Secrets: password, token, API key>"
    assert secrets.username.endswith("@example.test")
    assert secrets.address == "alice@example.test"
    assert list(secrets.known()) == ["password", "token", "API key"]


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("", "long enough", "label='' is empty"),
        ("password", "long enough", "label='password' is taken"),
        ("pin", "1234", "pin has less than 8 characters"),
    ],
)
def test_what_cannot_be_watched(mailauth_secrets, label, value, said):
    with pytest.raises(ConfigError, match=said):
        mailauth_secrets.watch(label, value)


def test_a_label_is_given_once(mailauth_secrets, found):
    assert mailauth_secrets.watch("key", "correct horse") == "correct horse"
    with pytest.raises(ConfigError, match="label='key' is taken"):
        mailauth_secrets.new("key")
    assert "- key, in the str, as plain text: a <key> here" in found("a correct horse here")


def test_looking_nowhere_is_no_proof(mailauth_secrets, tmp_path):
    with pytest.raises(ConfigError, match="needs to know where to look"):
        mailauth_secrets.assert_absent()
    with pytest.raises(ConfigError, match="does not exist"):
        mailauth_secrets.assert_absent(tmp_path / "app.log")


ENCODED = {
    "plain text": lambda secret: secret,
    "hex": lambda secret: secret.encode().hex(),
    "UTF-16LE": lambda secret: secret.encode("utf-16-le"),
    "UTF-16BE": lambda secret: secret.encode("utf-16-be"),
    "base64": lambda secret: base64.b64encode(b"\0alice\0" + secret.encode()),
    "base64url": lambda secret: base64.urlsafe_b64encode(secret.encode()),
    "percent-encoded": lambda secret: quote(secret, safe=""),
}


AWKWARD = "p@ss wörd\"1 it's~<2>&=\\?/+_"
FORMS = {
    "repr of bytes": lambda text: repr(text.encode()),
    "repr of bytes with both": lambda text: repr(b"'" + text.encode() + b'"'),
    "repr": repr,
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "HTML": html.escape,
    "HTML text": lambda text: html.escape(text, quote=False),
    "HTML with numbers": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "XML": lambda text: ET.tostring(ET.Element("a", b=text), "unicode").replace("'", "&#x27;"),
    "form": lambda text: urlencode({"password": text}),
    "quote": quote,
    "quote_plus": quote_plus,
    "lower-case percent": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "encodeURIComponent": lambda text: quote(text, safe="!*'()~"),
    "ISO-8859-1": lambda text: text.encode("latin-1"),
    "base64 of ISO-8859-1": lambda text: base64.b64encode(b"\0a\0" + text.encode("latin-1")),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "quoted-printable in two lines": lambda text: quopri.encodestring(b"x" * 65 + text.encode()),
    "quoted-printable of ISO-8859-1": lambda text: quopri.encodestring(text.encode("latin-1")),
    "Q of email": lambda text: quoprimime.header_encode(text.encode(), "utf-8"),
    "Q of quopri": lambda text: quopri.encodestring(text.encode(), header=True),
    "UTF-16": lambda text: text.encode("utf-16"),
    "hex": lambda text: text.encode().hex(),
    "IMAP": lambda text: 'a LOGIN b "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"',
    "SMTP debug": lambda text: f"send: {f'NOOP {text}'.encode()!r}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [AWKWARD, 'p@ss wörd"1', "it's wörd 2", "grün€ welle", "plain and simple"])
def test_every_form_is_found_and_not_shown(mailauth_secrets, found, form, secret):
    secret = secret.replace("€", "Ü") if "ISO" in form else secret  # which has no euro sign
    shown = FORMS[form](secret)
    mailauth_secrets.watch("phrase", secret)
    assert "- phrase, in the" in found(shown)
    text = shown if isinstance(shown, str) else shown.decode("utf-8", "backslashreplace")
    if "lines" not in form and "base64" not in form:
        assert find(secret, redact(text, mailauth_secrets.hidden).encode()) is None


def test_the_forms_of_letters_and_digits_are_few():
    forms = [form for _, form in encodings("Pw0123456789abcdef")]
    assert len(forms) == len(set(forms)) == 10


@given(st.text(min_size=8))
def test_every_secret_has_distinct_forms(secret):
    forms = [form for _, form in encodings(secret)]
    assert len(forms) == len(set(forms))
    assert find(secret, b"x" + secret.encode() + b"y") is not None
    assert find(secret, repr(secret).encode()) is not None
    assert find(secret, repr(secret.encode()).encode()) is not None
    assert secret not in redact(f"x{secret}y", ((secret, "<>"),)) or secret in "x<>y"


@pytest.mark.parametrize("encoding", ENCODED)
def test_every_encoding_is_found_and_named(mailauth_secrets, found, encoding):
    secret = mailauth_secrets.watch("phrase", "pass?>phrase / 100%~~~")  # its base64 has both + and /
    assert f"as {encoding}: " in found([ENCODED[encoding](secret)])


def test_base64_over_two_lines_is_found(mailauth_secrets, found):
    text = plain(mailauth_secrets)
    assert "as base64: <password>" in found(f"{text[:50]}\r\n{text[50:]}")


# Places.


def test_caplog(mailauth_secrets, caplog, found):
    caplog.set_level(logging.DEBUG)
    LOGGER.info("user %s logs in", mailauth_secrets.username)
    mailauth_secrets.assert_absent(caplog)
    LOGGER.debug("password is %s", mailauth_secrets.password)
    text = found(caplog)
    assert "- password, in caplog, record 2 of 'app.mail', message, as plain text: password is <password>" in text
    assert "record 2 of 'app.mail', args, item 1" in text
    assert len(caplog.records) == 2


def test_caplog_sees_what_is_not_in_the_message(mailauth_secrets, caplog, found):
    LOGGER.error("no", extra={"request": {"auth": mailauth_secrets.token}})
    assert "record 1 of 'app.mail', request, 'auth'" in found(caplog)
    caplog.clear()
    LOGGER.error("it failed", exc_info=raised(RuntimeError(f"bad password {mailauth_secrets.password}")))
    assert "record 1 of 'app.mail', exc_info, item 2" in found(caplog)
    caplog.clear()
    record = LOGGER.makeRecord("app.mail", logging.INFO, "f", 1, "%d", (mailauth_secrets.password,), None)
    assert "the record of 'app.mail', args, item 1" in found(record)


@pytest.fixture
def chatty(mailauth_secrets):
    LOGGER.warning("set up with %s", mailauth_secrets.password)


def test_caplog_of_the_setup(chatty, caplog, found):
    assert "set up with <password>" in found(caplog)


@pytest.mark.parametrize("name", ["capsys", "capfd", "capsysbinary", "capfdbinary"])
def test_captured_output_is_searched_and_put_back(mailauth_secrets, request, found, name):
    capture = request.getfixturevalue(name)
    print("hello", mailauth_secrets.username)
    print("grüße", file=sys.stderr)
    mailauth_secrets.assert_absent(capture)
    out, err = (text.decode() if isinstance(text, bytes) else text for text in capture.readouterr())
    assert (out, err) == (f"hello {mailauth_secrets.username}\n", "grüße\n")
    print("token", mailauth_secrets.token, file=sys.stderr)
    assert "- token, in what was printed to stderr, as plain text: token <token>" in found(capture)
    out, err = (text.decode() if isinstance(text, bytes) else text for text in capture.readouterr())
    assert (out, err) == ("", "token <token>\n")


class Refused(Exception):
    def __init__(self, request):
        super().__init__("refused")
        self.request = request


def raised(error, cause=None):
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_exceptions(mailauth_secrets, found):
    password = mailauth_secrets.password
    clean = raised(ValueError("no"), KeyError("also no"))
    mailauth_secrets.assert_absent(clean)
    assert "in the text of the exception ValueError, as" in found(raised(ValueError(f"{password} is wrong")))
    assert "the exception OSError, args, item 2" in found(raised(OSError(5, {"auth": password})))
    assert "the exception Refused, request, 'auth'" in found(raised(Refused({"auth": password})))
    assert "the exception ValueError, KeyError behind it" in found(raised(ValueError("no"), KeyError(password)))
    group = ExceptionGroup("many", [ValueError("no"), Refused({"auth": password})])
    assert "the exception ExceptionGroup, Refused behind it, request" in found(group)
    noted = ValueError("no")
    noted.add_note(f"tried {password}")
    assert "tried <password>" in found(noted)


def test_the_context_of_an_exception(mailauth_secrets, found):
    def log_in():
        try:
            {}[mailauth_secrets.password]
        except KeyError:
            raise ValueError("second") from None

    with pytest.raises(ValueError, match="second") as caught:
        log_in()
    assert "the exception ValueError, KeyError behind it" in found(caught)


def test_an_exception_that_is_its_own_cause_ends(mailauth_secrets):
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    mailauth_secrets.assert_absent(one)


def test_locals_of_frames_are_searched_when_asked_for(mailauth_secrets, found):
    def log_in(line):
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError) as caught:
        log_in(f"AUTH PLAIN {plain(mailauth_secrets)}")
    mailauth_secrets.assert_absent(caught)
    assert "the exception ConnectionError, traceback, as base64" in found(caught, frame_locals=True)


def test_warnings(mailauth_secrets, recwarn, found):
    warnings.warn(f"{mailauth_secrets.token} expires soon", UserWarning, stacklevel=1)
    assert "<token> expires soon" in found(recwarn)


def test_files_and_folders(mailauth_secrets, tmp_path, found):
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "app.log"
    file.write_bytes(b"\xff\xfe nothing")
    mailauth_secrets.assert_absent(tmp_path, file)
    file.write_text(f"PASS {mailauth_secrets.password}\n")
    assert "in the file app.log, as plain text: PASS <password>" in found(file)
    assert f"in the folder {tmp_path.name}, logs/app.log".replace(" ", "") in found(tmp_path).replace(
        "\\", "/"
    ).replace(" ", "")
    file.rename(file.with_name(f"{mailauth_secrets.token}.log"))
    assert "the name of the folder" in found(tmp_path)


class Careless:
    def __init__(self, password):
        self.password = str(password).upper().lower()
        self._shown = password

    def __repr__(self):
        return f"<Careless {self._shown!s}>"


class Broken:
    def __init__(self, password):
        self._password = password

    def __repr__(self):
        raise ValueError(f"{self._password!s} cannot be shown")


def test_values(mailauth_secrets, found):
    password = mailauth_secrets.password
    mailauth_secrets.assert_absent(None, 1, mailauth_secrets, mailauth_secrets.account, object())
    assert "the repr of the Careless" in found(Careless(password))
    assert "ValueError: <password> cannot be shown" in found(Broken(password))
    assert "the dict, 'headers', item 2, key 1" in found({"headers": ["x", {password: 1}]})
    assert "the bytes" in found(password.encode())
    assert "the bytearray" in found(bytearray(password.encode()))
    assert "the StringIO" in found(io.StringIO(f"x {password}"))
    assert "the set, item 1" in found({password})
    endless = [1]
    endless.append(endless)
    mailauth_secrets.assert_absent(endless)
    mailauth_secrets.assert_absent("\ud800 lone surrogate")


class Holds:
    def __init__(self, **held):
        vars(self).update(held)

    def __repr__(self):
        return "<Holds>"

    @property
    def never_asked(self):
        raise AssertionError("a property was called")


class Slotted:
    __slots__ = ("empty", "held")

    def __init__(self, held):
        self.held = held


def test_attributes_are_searched_when_asked_for(mailauth_secrets, found):
    password = str(mailauth_secrets.password)
    request = Holds(headers={"Authorization": Slotted(password)})
    request.itself = request
    record = LOGGER.makeRecord("app.mail", logging.INFO, "f", 1, "%r", (request,), None)
    failed = raised(ValueError("no", request))
    failed.holds = Slotted([1])
    for where in (request, failed, record, [request], Slotted(request)):
        mailauth_secrets.assert_absent(where)
        assert "headers, 'Authorization', held, as plain text: <password>" in found(where, attributes=True)
    mailauth_secrets.assert_absent(mailauth_secrets, mailauth_secrets.account, len, Holds, logging, attributes=True)


def test_attributes_are_followed_for_four_objects_and_no_further(mailauth_secrets, found):
    held = Holds(key=str(mailauth_secrets.token))
    for _ in range(3):
        held = Holds(inner=held)
    assert "the Holds, inner, inner, inner, key" in found(held, attributes=True)
    mailauth_secrets.assert_absent(Holds(inner=held), attributes=True)


def test_attributes_that_lead_everywhere_are_no_proof(mailauth_secrets):
    with pytest.raises(ConfigError, match="more than 20000 objects hang together with the Holds, all, item"):
        mailauth_secrets.assert_absent(Holds(all=[Holds() for _ in range(20_002)]), attributes=True)


def test_many_findings_are_counted(found, mailauth_secrets):
    assert "... and 5 more" in found([f"{mailauth_secrets.password} {n}" for n in range(15)])


# Servers.


def test_the_accounts_of_the_tests_servers_are_searched_for_too(mailauth_secrets, mailauth_smtp, found):
    server = mailauth_smtp
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.login(server.account.username, server.account.password)
    mailauth_secrets.assert_absent(server.transcript(), server, server.sessions, server.account)
    text = found(b"".join(session.tls_in for session in server.sessions))
    assert f"password of {server.account.address}, in the bytes, as base64" in text


def test_servers_that_are_asked_for_later_count_too(pytester):
    pytester.makepyfile(
        """
        import pytest

        def test_it(mailauth_secrets, request):
            server = request.getfixturevalue("mailauth").smtp()
            with pytest.raises(AssertionError, match="token of alice@example.test"):
                mailauth_secrets.assert_absent(str(server.account.token))
        """
    )
    pytester.runpytest("-p", "no:randomly", "-p", "no:asyncio").assert_outcomes(passed=1)


def test_accounts_with_one_address_are_kept_apart(found):
    accounts = [Account.fresh(), Account.fresh(), Account("bob", Secret("short"), "bob@example.test", Secret(""))]
    secrets = Secrets(lambda: accounts)
    assert len(secrets.known()) == 6
    with pytest.raises(ClientViolation, match=r"password of alice@example.test \(4\)"):
        secrets.assert_absent(str(accounts[1].password))


def test_no_server_is_made_for_secrets(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_it(mailauth_secrets, request):
            mailauth_secrets.assert_absent("nothing")
            assert "mailauth" not in request.fixturenames
            print("HEAVY", [n for n in ("pytest_mailauth.servers.server", "trustme", "aiosmtpd") if n in sys.modules])
        """
    )
    result = pytester.runpytest_subprocess("-s", "-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*HEAVY []*"])


# What pytest itself shows.

SECRET = Secret("correct horse battery")
REDACTED = "Secret(<redacted>)"


@pytest.mark.parametrize(
    ("told", "op", "left", "right", "shown"),
    [
        ([["1 == 2"]], "==", 1, 2, [["1 == 2"]]),
        ([], "<", 1, 2, []),
        ([["texts"]], "==", SECRET, "x", [[f"{REDACTED} == 'x'", "", "The text of a Secret is not shown."]]),
        ([], "!=", str(SECRET), SECRET, [[f"'<redacted>' != {REDACTED}", "", "The text of a Secret is not shown."]]),
        ([], "in", [SECRET], [], []),
        ([["lists", f"- {SECRET}"]], "==", [SECRET], [], [["lists", "- <redacted>"]]),
        ([["lists", f"- {SECRET}"]], "==", {"a": {SECRET}}, {}, [["lists", "- <redacted>"]]),
    ],
)
def test_what_is_shown_of_a_comparison(told, op, left, right, shown):
    assert conceal_comparison(told, op, left, right) == shown


def test_records_are_compared_by_what_they_show():
    one, two = (Authentication("PLAIN", name, Secret(f"password of {name}"), accepted=True) for name in ("a", "b"))
    assert conceal_comparison([["drilled down"]], "==", one, two) == [
        [
            "Authentication(PLAIN, accepted) == Authentication(PLAIN, accepted)",
            "",
            "identity: 'a' != 'b'",
            f"secret: {REDACTED} != {REDACTED}",
        ]
    ]
    accounts = [Account("bob", Secret(word), "bob@example.test", SECRET) for word in ("first", "second")]
    ((_, _, *fields),) = conceal_comparison([["drilled down"]], "==", *accounts)
    assert fields == [f"password: {REDACTED} != {REDACTED}"]
    assert conceal_comparison([["deep"]], "==", [[[[[[SECRET]]]]]], []) == [["deep"]]
    ((summary, *_),) = conceal_comparison([["x"]], "==", [one] * 50, [two] * 50)
    assert summary == "x"
    ((summary, *_),) = conceal_comparison([["x"]], "==", SECRET, "y" * 1000)
    assert len(summary) < 300


def test_what_is_no_report_of_pytest_stays_as_it_is():
    hidden = ((str(SECRET), "<password>"),)
    thing = object()
    assert conceal_report(thing, hidden) is thing
    assert conceal_report(None, hidden) is None
    assert conceal_report(["a", (f"b {SECRET}", 1)], hidden) == ["a", ("b <password>", 1)]
    info = pytest.ExceptionInfo.from_exception(raised(ValueError(f"{SECRET} is wrong")))
    shown = conceal_report(info.getrepr(style="long"), hidden)
    assert "ValueError: <password> is wrong" in str(shown)
    assert shown.reprcrash.message == "ValueError: <password> is wrong"
    assert SECRET not in str(shown)


@pytest.fixture
def shown(pytester):
    """Run a failing suite, which writes its secrets to a file, and return what it printed, without any of them."""

    def run(source, *arguments):
        pytester.makepyfile(source)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-vv", *arguments],
            cwd=pytester.path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert "failed" in done.stdout
        for secret in (pytester.path / "secrets.txt").read_text().split():
            assert find(secret, (done.stdout + done.stderr).encode()) is None
        return done.stdout

    return run


COMPARISONS = [
    "account.password == 'hunter2'",
    "'hunter2' == account.password",
    "account.password != str(account.password)",
    "account.password == str(account.password)[:-1] + 'x'",
    "account == Account.fresh()",
    "[account] == []",
    "{'a': account.password} == {'a': 1}",
    "{account.password} == {'b'}",
    "(account.password, 1) == (account.password, 2)",
    "account.password in 'a text without it'",
    "str(account.password) == 'hunter2'",
    "'x' in str(account.password)",
    "server.sessions == ()",
    "server.sessions[0].commands == ('EHLO',)",
    "server.sessions[0].commands[3] == server.sessions[0].commands[0]",
    "server.sessions[0].auth == ()",
    "server.sessions[0].auth[0] == server.sessions[0].auth[0]._replace(accepted=None, secret=account.token)",
    "server.sessions[0].entries == ()",
    "server.sessions[0].tls_in == b'EHLO'",
    "server.sessions[0].tls_in.startswith(b'x')",
    "server.sessions[0].commands[3].argument == b''",
    "server.transcript() == ''",
    "server.messages == 1",
    "not server",
]


@pytest.mark.parametrize("option", [[], ["-l", "--tb=short"]], ids=str)
def test_a_failing_comparison_shows_no_secret(shown, option):
    tests = "\n".join(
        f"def test_{number}(server):\n    account = server.account\n    assert {comparison}"
        for number, comparison in enumerate(COMPARISONS)
    )
    text = shown(
        f"""
import pytest, smtplib
from pytest_mailauth import Account

@pytest.fixture
def server(mailauth_smtp):
    server = mailauth_smtp
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.starttls(context=server.ssl_context())
        client.login(server.account.username, server.account.password)
    with open("secrets.txt", "a") as file:
        file.write("\\n".join(server.account.secrets.values()) + "\\n")
    return server

{tests}
""",
        *option,
    )
    assert f"{len(COMPARISONS)} failed" in text
    if not option:
        assert "assert Secret(<redacted>) == 'hunter2'" in text
        assert "The text of a Secret is not shown." in text
        assert "assert '<password>' == 'hunter2'" in text
        assert "password: Secret(<redacted>) != Secret(<redacted>)" in text


def test_the_log_of_aiosmtpd_is_quiet_inside_our_servers_only(mailauth_smtp, caplog):
    caplog.set_level(logging.DEBUG)
    server = mailauth_smtp
    with smtplib.SMTP(server.host, server.port, timeout=5) as client:
        client.sendmail("app@example.test", [server.account.address], "Subject: Hello\r\n\r\nHello\r\n")
    assert len(server.messages) == 1
    assert [record.name for record in caplog.records if record.name == "mail.log"] == []
    logging.getLogger("mail.log").info("somebody else's server")
    assert caplog.messages[-1] == "somebody else's server"
