"""Import what a pytester run in this process would otherwise import and forget again."""

from __future__ import annotations

import importlib
import pkgutil

import cryptography.hazmat.primitives.asymmetric.ec
import trustme

import pytest_mailauth

assert trustme
assert cryptography
for _module in pkgutil.walk_packages(pytest_mailauth.__path__, "pytest_mailauth."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
