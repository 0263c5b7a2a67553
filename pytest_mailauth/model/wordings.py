"""What a refused login may be told in a test's own words, by protocol."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = {
    Protocol.SMTP: re.compile(r"[45]\d\d[ -][^\x00-\x1f\x7f]+(?:\r?\n[45]\d\d[ -][^\x00-\x1f\x7f]*)*"),
    Protocol.POP3: re.compile(r"-ERR(?: [^\x00-\x1f\x7f]*)?"),
    Protocol.IMAP: re.compile(r"(?:NO|BAD) [^\x00-\x1f\x7f]+"),
}
_EXAMPLE: Final = {
    Protocol.SMTP: "535 5.7.8 wrong user name or password",
    Protocol.POP3: "-ERR [AUTH] wrong user name or password",
    Protocol.IMAP: "NO [AUTHENTICATIONFAILED] wrong user name or password",
}


def check_texts(protocol: Protocol, texts: Mapping[str, str]) -> None:
    """Check that each text refuses something in this protocol.

    Raises:
        ConfigError: One does not; another protocol's reply would be read as nonsense, or as success.
    """
    for refusal, text in texts.items():
        if not _FORM[protocol].fullmatch(text):
            raise ConfigError(
                f"texts: {str(refusal)!r}: {text!r} is no refusal of {protocol}; one is {_EXAMPLE[protocol]!r}"
            )
