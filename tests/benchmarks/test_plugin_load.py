"""What having this plugin installed costs every run of pytest: whole processes with and without it, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
from functools import partial

from in_turn import once

PAIRS = 20


def _collect_nothing(folder, *options):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)


def test_plugin_load(tmp_path, note):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    loaded, left_out = (partial(_collect_nothing, tmp_path, *options) for options in ((), ("-p", "no:mailauth")))
    _collect_nothing(tmp_path)
    pairs = [(once(loaded), once(left_out)) for _ in range(PAIRS)]
    with_it, without_it = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(one - other for one, other in pairs)
    note(
        f"loading the plugin: {with_it:.1f} ms with, {without_it:.1f} ms with -p no:mailauth, "
        f"median of {PAIRS} differences {added:+.1f} ms"
    )
