"""Import what a pytester run in this process would otherwise import and forget again, compiled classes included."""

from __future__ import annotations

import cryptography.hazmat.primitives.asymmetric.ec
import trustme

import pytest_mailauth.network.network
import pytest_mailauth.report.explain
import pytest_mailauth.servers.pki_faults

assert cryptography
assert trustme
assert pytest_mailauth
