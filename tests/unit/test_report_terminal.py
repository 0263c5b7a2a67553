"""What a person sees: the exact text for one client, no control codes in pipes, signs without colour or Unicode."""

from __future__ import annotations

import io

import pytest
from made_rows import made_report, made_row, plain_console, printed
from rich.console import Console

from pytest_mailauth.judge.ruleset import RuleSet
from pytest_mailauth.model.terms import Security, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.report.digest import Status
from pytest_mailauth.report.progress import ProgressDisplay
from pytest_mailauth.report.terminal import TerminalReport

VERIFY = "verify-before-credentials"
ROWS = (
    made_row("tls12-only", ("tls12-or-newer", Verdict.PASS, "logged in over TLS 1.2")),
    made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "the certificate was expired, and the password crossed")),
    made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "again"), security=Security.IMPLICIT),
    made_row("port-drop", ("blocked-port-diagnosed", Verdict.NOTE, "gave up in time, but names neither host nor port")),
    made_row("inject-partial-line", ("discard-pretls-bytes", Verdict.NOT_APPLICABLE, "does not choose")),
)


def shown(*rows, interrupted=None, **options):
    console = plain_console(options.pop("width", 80), options.pop("encoding", "utf-8"))
    declared = options.pop("declared", None)
    status = TerminalReport(console, RuleSet(), **options).print(
        [made_report(*rows, declared=declared)], interrupted=interrupted
    )
    return printed(console), status


def test_a_whole_report():
    text, status = shown(*ROWS)
    assert status is Status.BROKEN
    line = "─" * 80
    assert text == (
        "smtplib:default (in its shortest working call, as the library does it by itself)\n"
        "SMTP with STARTTLS and implicit TLS: 5 cases\n"
        "  ✗ VIOLATION      2 cases    verify-before-credentials: cert-expired\n"
        "  • NOTE           1 case     blocked-port-diagnosed: port-drop\n"
        "  ✓ PASS           1 case\n"
        "  - NOT-APPLICABLE 1 case\n"
        "\n"
        f"{line}\n"
        "✗ VIOLATION verify-before-credentials (critical; the client broke this rule)\n"
        "  Requirement: A password goes only to a server whose certificate chain and host\n"
        "               name were verified. (RFC 8314 section 5.3, RFC 7817 section 3,\n"
        "               RFC 4954 section 14)\n"
        "  Expected:    The client breaks off the handshake with an alert, or leaves\n"
        "               right after it, without logging in.\n"
        "  Actual:      The certificate was expired, and the password crossed.\n"
        "  Seen in:     smtp-starttls-cert-expired with smtplib:default\n"
        "  Clients:     smtplib:default (2 cases)\n"
        "  Transcript:\n"
        "    S: 220 localhost\n"
        "    C: EHLO there\n"
        "    ======== TLS 1.3, A_SUITE =====\n"
        "    C: AUTH PLAIN <initial response>\n"
        "  Next step:   Use a verifying TLS context with the host name (in Python:\n"
        "               ssl.create_default_context()).\n"
        f"{line}\n"
        "• NOTE blocked-port-diagnosed (allowed, and worth knowing)\n"
        "  Requirement: On a blocked port the client gives up within its time-out and\n"
        "               says so, naming host and port.\n"
        "  Actual:      Gave up in time, but names neither host nor port.\n"
        "  Seen in:     smtp-starttls-port-drop with smtplib:default\n"
        f"{line}\n"
        "✗ smtplib:default  SMTP  2 violations, 1 note, 1 passed, 1 not applicable\n"
        "Asked: the core profile of the rules 2026.1. There is more: --profile full.\n"
        "A case is one scenario in one TLS mode; -v shows every one of them.\n"
        "'mailauth explain NAME' tells more about a rule or a scenario.\n"
        "Exit status 1: a rule was broken.\n"
    )


def test_verbose_shows_every_case_and_the_whole_transcript():
    long = "\n".join(f"C: NOOP {number}" for number in range(99))
    row = made_row("cert-expired", (VERIFY, Verdict.VIOLATION, "sent it"), transcript=long)
    text, _ = shown(*ROWS, row, verbose=True)
    for each in (*ROWS, row):
        assert each.setting.id in text
    assert "tls12-or-newer: logged in over TLS 1.2" in text
    assert "left out" not in text
    assert "-v shows" not in text
    short, _ = shown(row)
    assert "(69 lines left out)" in short
    assert "C: NOOP 98" in shown(row, verbose=True)[0]


def test_an_unusable_client_is_told_what_to_do_first():
    text, status = shown(made_row("base-starttls-ok", ("control", Verdict.ERROR, "it never connected")))
    assert status is Status.UNUSABLE
    assert "! ERROR control (this could not be judged)" in text
    assert "Actual:      It never connected." in text
    assert "Make the client work with this server first" in text
    assert text.endswith("Exit status 3: a client could not be judged.\n")


def test_inconclusive_cases_are_counted_and_obey_nothing():
    text, status = shown(ROWS[0], made_row("port-drop", ("blocked-port-diagnosed", Verdict.INCONCLUSIVE, "unclear")))
    assert status is Status.OBEYED
    assert "? smtplib:default  SMTP  1 inconclusive, 1 passed" in text
    assert "1 case INCONCLUSIVE: nothing was proved there" in text


def test_a_case_without_a_connection_has_no_transcript():
    text, _ = shown(made_row("tls10-only", ("tls12-or-newer", Verdict.INCONCLUSIVE, "cannot serve"), transcript=""))
    assert "Transcript" not in text


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        (Status.HUNG_UP, "Exit status 129: hung up on: above is what was known by then.\n"),
        (Status.INTERRUPTED, "Exit status 130: interrupted: above is what was known by then.\n"),
        (Status.TERMINATED, "Exit status 143: terminated: above is what was known by then.\n"),
    ],
)
def test_an_interrupted_run_says_so(ended, told):
    text, status = shown(ROWS[0], interrupted=ended)
    assert status is ended
    assert text.endswith(told)


def test_nothing_at_all():
    console = plain_console()
    assert TerminalReport(console, RuleSet()).print([], interrupted=Status.INTERRUPTED) is Status.INTERRUPTED
    assert "Exit status 130" in printed(console)


def test_what_was_declared_is_said():
    text, _ = shown(*ROWS, declared=Declaration(verify="none", timeout=5))
    assert "SMTP with STARTTLS and implicit TLS: 5 cases (declared: verify=none, timeout=5)\n" in text


def test_without_unicode_the_signs_are_others():
    text, _ = shown(*ROWS, encoding="ascii")
    assert "  x VIOLATION " in text
    assert "  + PASS " in text
    assert text.isascii()


def test_nothing_is_wider_than_the_terminal_and_nothing_trails():
    for width in (60, 80, 120):
        for line in shown(*ROWS, width=width)[0].splitlines():
            assert len(line) <= max(width, 80)
            assert line == line.rstrip()


def test_what_a_client_says_is_neither_markup_nor_a_control_code():
    text, _ = shown(
        made_row("port-drop", ("blocked-port-diagnosed", Verdict.NOTE, "said [bold]x[/bold] \x1b[31m:smile:"))
    )
    assert r"Said [bold]x[/bold] \x1b[31m:smile:." in text


def test_a_terminal_gets_colours():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", width=80)
    TerminalReport(console, RuleSet()).print([made_report(*ROWS)])
    assert "\x1b[1;31m✗" in file.getvalue()


def test_progress_in_a_pipe_is_one_line():
    console = plain_console()
    with ProgressDisplay(console, 2) as progress:
        progress(1, 40, "a label")
        progress(2, 40, "another")
    assert printed(console) == "judging 2 clients in 40 trials ...\n"


def test_progress_on_a_terminal_shows_what_was_done_last():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with ProgressDisplay(console, 1) as progress:
        progress(7, 40, "the label [bold]")
    assert "7/40" in file.getvalue()
    assert "the label [bold]" in file.getvalue()
