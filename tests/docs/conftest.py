"""Lets the tests import what generates the documents."""

from __future__ import annotations

import sys

from documents import ROOT

sys.path.append(str(ROOT / "docs"))
