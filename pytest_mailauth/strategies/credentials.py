"""User names, passwords and bearer tokens, and above all those that something on the way is not ready for.

They are made up: nothing here is a secret. None holds what UTF-8 cannot say.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from pytest_mailauth.strategies.cases import mix, one

if TYPE_CHECKING:
    from collections.abc import Sequence

MAPPED: Final = ("I\u00adX", "pass\u00a0word", "\u00aa", "\u2168", "e\u0301", "\ufb01sh", "\u200bzero")
"""What SASLprep turns into something else (RFC 4013): mapped to nothing or to a space, or composed."""
PROHIBITED: Final = ("\u0007", "\u06271", "\ue000", "\ufffd", "a\u0085b", "\u202etxt")
"""What SASLprep does not allow (RFC 4013 section 2.3), and text of both directions."""
_EIGHT_BIT: Final = ("pässwörd", "grüße", "пароль", "密码", "🔑", "naïve€", "ÿ")
_MARKS: Final = ('"', "\\", 'a"b\\c', " a ", "{5}", "%", "*", "(a)", "a,b=c", "'; --", "&", "=", "~/")
"""What means something in a quoted string, a literal, a SCRAM message (RFC 5802 section 5.1), or a shell."""
_LONG: Final = (64, 255, 256, 300, 511, 512, 513, 998, 1000, 2048)
TOKEN_LENGTHS: Final = (497, 512, 998, 12288)
"""Lengths at which tokens break: what ``AUTH XOAUTH2`` leaves of a command line, the command line (RFC 5321 section
4.5.3.1.4), a line of text without its end (section 4.5.3.1.6), and the line that RFC 4954 section 4 calls enough."""
_TOKEN: Final = "ABCXYZabcxyz0189-._~+/"
_USUAL: Final = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$.-_@"


def _names(of: str, simple: Sequence[str], *, sound: bool | None) -> st.SearchStrategy[str]:
    """Return the table that user names and passwords have in common."""
    good, bad = sound is not False, sound is not True
    return mix(
        of,
        (3 * good, "simple", one(simple)),
        (good, "any", st.text(_USUAL, min_size=1, max_size=20)),
        (2 * good, "marks", one(_MARKS)),
        (2 * bad, "8-bit", one(_EIGHT_BIT)),
        (2 * bad, "SASLprep", one((*MAPPED, *PROHIBITED))),
        (bad, "NUL", st.builds("{}\0{}".format, one(("", "alice")), one(("", "secret")))),
        (bad, "line break", one(("a\r\nb", "a\nb", "a\rb", "secret\r\n"))),
        (bad, "long", one(_LONG).map(lambda length: "a" * length)),
        (bad, "empty", st.just("")),
    )


def usernames(*, sound: bool | None = None) -> st.SearchStrategy[str]:
    r"""Return authentication identities (RFC 4422 section 3.4.1).

    Args:
        sound: True leaves out those that some mechanism or command cannot carry as they are; the others are printable
            ASCII. False draws those alone. None (default) draws both.

    Distribution:
        3/14 simple: alice, alice@example.test and the like.
        1/14 any: 1 to 20 letters, digits and signs.
        2/14 marks: quotes, backslashes, spaces, braces, commas and equals signs.
        2/14 8-bit: letters beyond ASCII, in UTF-8 two to four bytes each.
        2/14 SASLprep: what SASLprep maps to something else, or prohibits (RFC 4013).
        1/14 NUL: with NUL, which PLAIN cannot carry (RFC 4616 section 2).
        1/14 line break: with CR, LF or both, which would be a command of its own.
        1/14 long: 64 to 2048 characters, at the limits of lines.
        1/14 empty: no character at all.

    Shrinks to: ``"alice"``.
    """
    return _names("usernames", ("alice", "alice@example.test", "bob", "a.b-c_d"), sound=sound)


def passwords(*, sound: bool | None = None) -> st.SearchStrategy[str]:
    r"""Return passwords.

    Args:
        sound: True leaves out those that some mechanism or command cannot carry as they are; the others are printable
            ASCII. False draws those alone. None (default) draws both.

    Distribution:
        3/14 simple: such as Password-1.
        1/14 any: 1 to 20 letters, digits and signs.
        2/14 marks: quotes, backslashes, spaces, braces, commas and equals signs.
        2/14 8-bit: letters beyond ASCII, in UTF-8 two to four bytes each.
        2/14 SASLprep: what SASLprep maps to something else, or prohibits (RFC 4013).
        1/14 NUL: with NUL, which PLAIN cannot carry (RFC 4616 section 2).
        1/14 line break: with CR, LF or both, which would be a command of its own.
        1/14 long: 64 to 2048 characters, at the limits of lines.
        1/14 empty: no character at all.

    Shrinks to: ``"Password-1"``.

    Examples:
        >>> from hypothesis import find
        >>> find(passwords(), lambda password: not password.isascii())
        'pässwörd'
    """
    return _names("passwords", ("Password-1", "correct-horse-battery-staple", "aB3!xyz#9"), sound=sound)


def bearer_tokens(*, sound: bool | None = None) -> st.SearchStrategy[str]:
    r"""Return bearer tokens (RFC 6750 section 2.1: letters, digits, ``-._~+/``, and ``=`` at the end).

    Args:
        sound: True draws tokens of this form alone. False draws what is none. None (default) draws both.

    Distribution:
        3/14 simple: such as ya29.mailauth-token.
        1/14 short: 2 to 40 characters.
        2/14 JWT: three parts of base64url with dots between them (RFC 7519).
        1/14 padded: one or two equals signs at the end.
        1/14 around 497: 495 to 499 characters, where a command line with AUTH XOAUTH2 is full.
        1/14 around 512: 510 to 514, where a command line is full (RFC 5321 section 4.5.3.1.4).
        1/14 around 998: 996 to 1000, where a line of text is full (RFC 5321 section 4.5.3.1.6).
        1/14 around 12288: 12286 to 12290, where the longest line of a response is full (RFC 4954 section 4).
        1/14 tiny: one character.
        2/14 no token: empty, or with a space, a comma, 0x01 (RFC 7628 section 3.1), a line break, 8 bits.

    Shrinks to: ``"ya29.mailauth-token"``.
    """
    good, bad = sound is not False, sound is not True
    short = st.text(_TOKEN, min_size=2, max_size=40)
    return mix(
        "bearer_tokens",
        (
            3 * good,
            "simple",
            one(("ya29.mailauth-token", "mF_9.B5f-4.1JqM", "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWC")),
        ),
        (good, "short", short),
        (2 * good, "JWT", _jwt()),
        (good, "padded", st.builds("{}{}".format, short, one(("=", "==")))),
        *((good, f"around {length}", _around(length)) for length in TOKEN_LENGTHS),
        (good, "tiny", one(_TOKEN)),
        (2 * bad, "no token", one(("", "a b", "a,b", "a\x01b", "a\x01\x01", "a\r\nb", "tökén", "a=b"))),
    )


def _around(length: int) -> st.SearchStrategy[str]:
    # One character many times over: what counts is the length, and each character drawn would cost a choice.
    return st.builds(lambda step, mark: mark * (length + step), st.integers(-2, 2), one("Aa-"))


def _jwt() -> st.SearchStrategy[str]:
    def encoded(parts: Sequence[bytes]) -> str:
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)

    payload = st.binary(min_size=1, max_size=60).map(lambda data: b'{"jti":"%s"}' % data.hex().encode())
    return st.tuples(
        one((b'{"alg":"RS256","typ":"JWT"}', b'{"alg":"none"}')), payload, st.binary(min_size=32, max_size=32)
    ).map(encoded)
