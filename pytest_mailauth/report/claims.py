"""What stands behind the assertions that no rule judges, and the text of their failure.

A row an assertion: the advice, and where the standards ask for something, what and where they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from pytest_mailauth.model.errors import ClientViolation
from pytest_mailauth.report.explain import endings
from pytest_mailauth.report.text import explain_assertion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.servers.server import MailServer


class Claim(NamedTuple):
    """What to do about a failure, and what the standards ask for, where."""

    step: str
    requirement: str = ""
    sources: tuple[str, ...] = ()


CLAIMS: Final[dict[str, Claim]] = {
    "assert_mechanism": Claim(
        "Choose the mechanism in the client's settings, or offer no other: AuthPolicy(mechanisms=...)."
    ),
    "assert_starttls_before_auth": Claim(
        "Start TLS before logging in, and refuse to log in without it.",
        "A client begins to log in only after STARTTLS (POP3: STLS) and the TLS handshake.",
        ("RFC 8314 section 5.2", "RFC 4954 section 4", "RFC 2595 section 2.3"),
    ),
    "assert_capabilities_refetched": Claim(
        "Forget the capabilities when TLS starts, and ask for them again as the first thing.",
        "What the server said before TLS is discarded, and its capabilities are asked for again.",
        ("RFC 3207 section 4.2", "RFC 2595 section 4", "RFC 9051 section 6.2.1"),
    ),
    "assert_commands": Claim(
        "Compare the lines with + and -; `...` in the list stands for any commands, `*` for any characters."
    ),
    "assert_recipients": Claim("Look at the RCPT commands: the envelope decides, not To, Cc and Bcc."),
    "assert_message_count": Claim("Look at the last reply after DATA, and at the recipients that were refused."),
    "assert_quit_sent": Claim(
        "Close the client properly: quit() or logout(), or its context manager.",
        "A client does not just leave: it says QUIT (IMAP: LOGOUT) and waits for the reply.",
        ("RFC 5321 section 4.1.1.10", "RFC 1939 section 6", "RFC 9051 section 3.4"),
    ),
    "assert_attempts": Claim(
        "Compare the lines with + and -: the first is where the client tried something else than was expected."
    ),
    "assert_never_weaker": Claim(
        "Report what is wrong with the stronger port; a weaker one is the user's decision, never a fallback. Where "
        "STARTTLS that is enforced will do, say allow_explicit=True.",
        "When a port gives no trusted TLS, the client does not try anything weaker on its own, and does nothing but "
        "discovery and STARTTLS in clear.",
        ("S11", "S13", "S14", "RFC 8314 section 5.2"),
    ),
    "assert_bounded": Claim(
        "Set a time-out on connecting, and on every reply.",
        "A client has a time-out.",
        ("RFC 5321 section 4.5.3.2",),
    ),
    "assert_no_connection": Claim("See in the transcript what the client wanted, and which setting led it here."),
    "assert_handshake_rejected": Claim(
        "Let the client verify the certificate and refuse what it does not accept before it goes on."
    ),
}


def nobody(sessions: tuple[SessionRecord, ...], done: str) -> str:
    """Return that nobody has *done* it; if nobody was there, that."""
    return f"nobody {done}" if sessions else "no client connected"


def fail(server: MailServer, name: str, expected: str, actual: str, compared: Sequence[str] = ()) -> NoReturn:
    """Raise the failure of the assertion *name*, with the transcript of *server* and no secret.

    Raises:
        ClientViolation: Always.
    """
    __tracebackhide__ = True
    text = told(
        name, expected, actual, {"Compared": compared}, transcript=server.transcript(), diagnosis=endings(server)
    )
    raise ClientViolation(server.shown(text))


def told(
    name: str,
    expected: str,
    actual: str,
    details: Mapping[str, Sequence[str]],
    *,
    transcript: str | None,
    diagnosis: Iterable[str] = (),
) -> str:
    """Return the text of the failure of the assertion *name*; see :func:`explain_assertion` for the arguments."""
    claim = CLAIMS[name]
    return explain_assertion(
        name,
        requirement=claim.requirement,
        sources=claim.sources,
        expected=expected,
        actual=actual,
        details=details,
        transcript=transcript,
        step=claim.step,
        diagnosis=diagnosis,
    )
