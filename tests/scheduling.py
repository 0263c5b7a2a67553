"""Which tests stay on one worker of pytest-xdist, because they share one costly run."""

from __future__ import annotations

import re
from typing import Final

from xdist.scheduler import LoadGroupScheduling

_MATRIX: Final = re.compile(r"/calibration/test_matrix\.py::.*(?:\[|-)(smtp|pop3|imap)(?:\]|-)")
_PROGRAMS: Final = "/clients/test_mechanisms_of_programs.py::"


def together(nodeid: str) -> str | None:
    """Return what a test shares a run with, or None for a test that may run anywhere.

    The matrix of a protocol is one run; so are the programs that authenticate, side by side in a pool of their own.
    """
    found = _MATRIX.search(nodeid)
    if found:
        return f"matrix of {found[1]}"
    return "programs that authenticate" if _PROGRAMS in nodeid else None


class Together(LoadGroupScheduling):
    """Distributes tests over the workers. The marks of pytest-xdist do not reach it under pytest 9.2.

    That is https://github.com/pytest-dev/pytest-xdist/issues/1386; what is told by file and parameter always arrives.
    """

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid) or nodeid
