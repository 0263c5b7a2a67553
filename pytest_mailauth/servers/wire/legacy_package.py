"""tlslite-ng, imported without a warning. It is the extra ``legacy``, and this is the one place that imports it.

In Python 3.11 it imports asyncore, which warns, and a warning is an error in many projects. To swap the filters of the
process for a moment is not safe with threads. CPython drops a warning whose place has the module name None, so asyncore
is imported from a namespace that has it, before tlslite-ng does; from Python 3.12 there is none.
"""

from __future__ import annotations

import contextlib
from types import FunctionType


def _import_asyncore() -> None:
    import asyncore  # noqa: F401, PLC0415 - see above


with contextlib.suppress(ImportError):
    FunctionType(_import_asyncore.__code__, {"__name__": None})()

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey  # noqa: E402
from tlslite.errors import TLSError, TLSLocalAlert, TLSRemoteAlert  # noqa: E402

__all__ = [
    "HandshakeSettings",
    "TLSConnection",
    "TLSError",
    "TLSLocalAlert",
    "TLSRemoteAlert",
    "X509CertChain",
    "parsePEMKey",
]
