"""How much of the matrix is run: a part in every run of the tests, all of it where its publication is checked."""

from __future__ import annotations

import matrix


def pytest_configure(config):
    matrix.WHOLE = config.getoption("--whole-matrix", default=None) is not None
