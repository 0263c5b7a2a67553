"""Host names. Nobody owns them: they end in a reserved domain (RFC 6761), or are of this machine."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from pytest_mailauth.strategies.cases import mix, one

WILDCARD: Final = "*.example.test"
"""The name on a certificate whose neighbours are drawn."""
_SIMPLE: Final = ("mail.example.test", "smtp.example.test", "imap.example.test", "example.test")
_NEIGHBOURS: Final = (
    "mail.example.test",
    "example.test",
    "a.mail.example.test",
    "mailexample.test",
    "mail.example.test.evil.test",
    "mail.example.invalid",
    "test",
)
"""One that the wildcard matches, and six that it does not: it stands for exactly one label (RFC 9525 section 6.3)."""
_U_LABELS: Final = ("bücher", "straße", "βόλος", "пример", "例え", "مثال")
"""Labels in Unicode. The second and the third were mapped by IDNA2003 to another name than they have since."""
_A_LABELS: Final = ("xn--bcher-kva", "xn--strae-oqa", "xn--e1afmkfd")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_INNER: Final = f"{_LETTERS}0123456789-"
_ADDRESSES: Final = ("127.0.0.1", "::1", "127.0.0.2", "::ffff:127.0.0.1")
LONGEST_LABEL: Final = 63
"""Octets of a label at most (RFC 1035 section 2.3.4)."""
LONGEST_NAME: Final = 253
"""Characters of a name at most: its 255 octets count a length before each label, and the root (RFC 1035)."""


def _labels(longest: int = 12) -> st.SearchStrategy[str]:
    """Return labels of letters, digits and hyphens; a hyphen stands neither first nor last."""
    return st.builds(
        "{}{}{}".format,
        one(_LETTERS),
        st.text(_INNER, max_size=longest - 2).map(lambda inner: inner.replace("--", "-0")),
        one(f"{_LETTERS}0123456789"),
    )


def _long() -> st.SearchStrategy[str]:
    """Return names at a limit or one below it: of a label, or of the whole name."""
    label = st.integers(LONGEST_LABEL - 1, LONGEST_LABEL).map(lambda length: "a" * length + ".example.test")
    whole = st.integers(LONGEST_NAME - 1, LONGEST_NAME).map(lambda length: ("a" * 49 + ".") * 4 + "b" * (length - 205))
    return st.one_of(label, whole.map(lambda name: f"{name}.test"))


def hostnames() -> st.SearchStrategy[str]:
    r"""Return host names, and addresses where names are expected.

    Distribution:
        3/12 simple: such as mail.example.test.
        1/12 any: two to four labels of letters, digits and hyphens.
        2/12 neighbour: names that the wildcard ``*.example.test`` matches, and ones that it just does not.
        2/12 IDN: a label in Unicode or its A-label (RFC 5890), with letters that IDNA2003 mapped.
        1/12 trailing dot: one with the dot of the root.
        1/12 upper case: one in other letters, which is the same name.
        1/12 long: a label of 62 or 63 octets, or a name of 252 or 253.
        1/12 address: an address of loopback, and localhost.

    Shrinks to: ``"mail.example.test"``.

    Examples:
        >>> from hypothesis import find
        >>> find(hostnames(), lambda name: name.endswith("."))
        'mail.example.test.'
    """
    simple = one(_SIMPLE)
    return mix(
        "hostnames",
        (3, "simple", simple),
        (1, "any", st.lists(_labels(), min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "test"]))),
        (2, "neighbour", one(_NEIGHBOURS)),
        (2, "IDN", one((*_U_LABELS, *_A_LABELS)).map("mail.{}.test".format)),
        (1, "trailing dot", simple.map("{}.".format)),
        (1, "upper case", simple.map(str.upper) | simple.map(str.title)),
        (1, "long", _long()),
        (1, "address", one((*_ADDRESSES, "localhost"))),
    )
