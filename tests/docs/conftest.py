"""Lets the tests import what writes the documents, and imports the whole package before the first of them runs.

pytester takes out of ``sys.modules`` what was first imported inside it. What is imported again afterwards is another
copy, whose classes the first one does not know.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import authlib.integrations.requests_client  # noqa: F401 - what an example imports is there before pytester, too
from documents import ROOT

import pytest_mailauth

sys.path.append(str(ROOT / "docs"))

for _module in pkgutil.walk_packages(pytest_mailauth.__path__, "pytest_mailauth."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
