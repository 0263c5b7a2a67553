"""What shares a run is told to share a worker."""

from __future__ import annotations

import pytest
from scheduling import together


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/calibration/test_matrix.py::test_flagged[imap-takes-any-service]", "matrix of imap"),
        ("tests/calibration/test_matrix.py::test_honest[honest with a token-pop3]", "matrix of pop3"),
        ("tests/calibration/test_matrix.py::test_published[smtp]", "matrix of smtp"),
        ("tests/calibration/test_matrix.py::test_every_rule_has_a_faulty_client", None),
        ("tests/clients/test_mechanisms_of_programs.py::test_it_logs_in[curl-imap]", "programs that authenticate"),
        ("tests/wire/test_hello.py::test_x[imap]", None),
    ],
)
def test_what_shares_a_run_shares_a_worker(nodeid, group):
    assert together(nodeid) == group
