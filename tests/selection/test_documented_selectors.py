"""What the documented defaults of mail libraries answer; a default that a release changes is noticed here."""

from __future__ import annotations

import importlib.util

import pytest
from documented_selectors import DOCUMENTED, Documented, default

from pytest_mailauth import ConfigError
from pytest_mailauth.selection import LAWS, Choice, LawBroken, check_selection

MODE_LAWS = ("standard-ports", "custom-port-needs-mode", "stated-mode-wins", "never-cleartext-credentials")
IDS = [row.name for row in DOCUMENTED]


def broken(row):
    """Return the laws that a row breaks, and those that could be asked of it."""
    found, asked = set(), set()
    for law in LAWS:
        try:
            checked = check_selection(row.choose, laws=[law], adapt=row.adapt, examples=100)
        except LawBroken:
            found.add(law)
        except ConfigError:
            continue
        else:
            assert checked.asked[law]
        asked.add(law)
    return found, asked


@pytest.mark.parametrize("row", DOCUMENTED, ids=IDS)
def test_it_breaks_the_laws_that_the_page_says_and_no_others(row):
    found, asked = broken(row)
    assert found == row.breaks
    assert asked >= set(MODE_LAWS)


@pytest.mark.parametrize("row", DOCUMENTED, ids=IDS)
def test_whoever_states_a_mode_gets_it(row):
    assert "stated-mode-wins" not in row.breaks
    for mode in ("implicit", "starttls"):
        assert {row.choose(port, mode).mode for port in (25, 143, 465, 587, 993, 2525)} == {mode}


@pytest.mark.parametrize(
    ("package", "where", "name", "documented"),
    [
        ("django", "django.conf.global_settings", "EMAIL_USE_TLS", False),
        ("django", "django.conf.global_settings", "EMAIL_USE_SSL", False),
        ("django", "django.conf.global_settings", "EMAIL_PORT", 25),
        ("aiosmtplib", "aiosmtplib:send", "use_tls", False),
        ("aiosmtplib", "aiosmtplib:send", "start_tls", None),
        ("imapclient", "imapclient:IMAPClient", "ssl", True),
        ("imap_tools", "imap_tools:MailBox", "port", 993),
        ("imap_tools", "imap_tools:MailBoxStartTls", "port", 143),
    ],
)
def test_an_installed_package_has_the_documented_default(package, where, name, documented):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert default(where, name, "not read") == documented


def test_a_default_is_read_from_the_package_where_there_is_one():
    assert default("smtplib", "SMTP_PORT", "not read") == 25
    assert default("smtplib:SMTP", "port", "not read") == 0
    assert default("no_such_package_at_all:Client", "port", 4711) == 4711


def test_a_row_that_changes_is_noticed():
    row = Documented(
        name="always STARTTLS",
        protocol="smtp",
        says="",
        source="",
        choose=lambda port, _stated: Choice(mode="starttls", port=port or 587),
        breaks=frozenset(),
    )
    assert broken(row)[0] == {"standard-ports", "custom-port-needs-mode", "stated-mode-wins"}
