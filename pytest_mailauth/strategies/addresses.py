"""Mail addresses that are valid, odd ones too: what an address may look like, not what one usually looks like."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.strategies.cases import mix, one

LONGEST_LOCAL_PART: Final = 64
"""Octets of a local part at most (RFC 5321 section 4.5.3.1.1)."""
LONGEST_PATH: Final = 256
"""Octets of a path at most, its angle brackets among them (RFC 5321 section 4.5.3.1.3)."""
_NAMES: Final = ("alice", "bob", "carol", "postmaster")
_DOMAIN: Final = "example.test"
_ATEXT: Final = "abcxyz0189!#$%&'*+-/=?^_`{|}~"
"""What may stand in a local part without quotes, beside the dot (RFC 5322 section 3.2.3)."""
_QUOTED: Final = (
    '""',
    '"alice smith"',
    '"alice@home"',
    '".alice."',
    '"a..b"',
    '"a\\"b"',
    '"a\\\\b"',
    '"<a>,b;"',
)
"""Local parts that need their quotes (RFC 5321 section 4.1.2)."""
_UTF8: Final = ("jörg", "用户", "δοκιμή", "почта", "ålice", "josé", "a\u0301lice")
"""Local parts in UTF-8 (RFC 6531 section 3.3); the last is not in the form NFC."""
_UTF8_DOMAINS: Final = (_DOMAIN, "bücher.test", "例え.test", "пример.test")
_OTHER_DOMAINS: Final = ("[127.0.0.1]", "[IPv6:::1]", "xn--bcher-kva.test", "EXAMPLE.TEST", "a", "mail.example.test")


def _long() -> st.SearchStrategy[str]:
    local = st.integers(LONGEST_LOCAL_PART - 1, LONGEST_LOCAL_PART).map(lambda length: "a" * length)
    whole = st.integers(LONGEST_PATH - 3, LONGEST_PATH - 2).map(
        lambda length: "a@" + ("b" * 49 + ".") * 4 + "c" * (length - 207) + ".test"
    )
    return st.one_of(local.map(f"{{}}@{_DOMAIN}".format), whole)


def mail_addresses(*, utf8: bool = True) -> st.SearchStrategy[str]:
    r"""Return mail addresses that RFC 5321 section 4.1.2 and RFC 6531 section 3.3 allow, without angle brackets.

    Args:
        utf8: Whether those are among them that need SMTPUTF8. Default True.

    Distribution:
        4/12 simple: such as alice@example.test.
        1/12 any: a local part of any characters that need no quotes, in one to three parts.
        2/12 quoted: a local part in quotes: empty, with a space, ``@``, dots, a quote or a backslash.
        2/12 UTF-8: a local part or both parts in UTF-8; one is not in the form NFC.
        1/12 subaddress: with a plus sign and a detail.
        1/12 domain: an address literal, an A-label, upper case, a single label.
        1/12 long: a local part of 63 or 64 octets, or an address of 253 or 254.

    Shrinks to: ``"alice@example.test"``.

    Examples:
        >>> from hypothesis import find
        >>> find(mail_addresses(), lambda address: not address.isascii())
        'jörg@example.test'
    """
    simple = one(_NAMES)
    atoms = st.lists(st.text(_ATEXT, min_size=1, max_size=8), min_size=1, max_size=3).map(".".join)
    return mix(
        "mail_addresses",
        (4, "simple", simple.map(f"{{}}@{_DOMAIN}".format)),
        (1, "any", atoms.map(lambda local: f"{local}@{_DOMAIN}")),
        (2, "quoted", one(_QUOTED).map(f"{{}}@{_DOMAIN}".format)),
        (2 * utf8, "UTF-8", st.builds("{}@{}".format, one(_UTF8), one(_UTF8_DOMAINS))),
        (1, "subaddress", one(("news", "a+b", "2026-11")).map(f"alice+{{}}@{_DOMAIN}".format)),
        (1, "domain", one(_OTHER_DOMAINS).map("alice@{}".format)),
        (1, "long", _long()),
    )
