"""What having this plugin installed costs every run of pytest: whole processes with and without it, in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from importlib.metadata import entry_points

from in_turn import once

PAIRS = 20


def test_plugin_load(tmp_path, note):
    # No other plugin is loaded: it may have imported already what ours needs.
    others = {f"no:{plugin.name}" for plugin in entry_points(group="pytest11") if plugin.name != "mailauth"}
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    # Nobody compiles the plugin in every run; where byte code is not to be written, everything would.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def collect_nothing(*blocked: str) -> None:
        options = [word for name in (*others, *blocked) for word in ("-p", name)]
        command = [sys.executable, "-m", "pytest", "--collect-only", *options]
        subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True)

    def without() -> None:
        collect_nothing("no:mailauth")

    collect_nothing()
    pairs = [(once(collect_nothing), once(without)) for _ in range(PAIRS)]
    loaded, left_out = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(one - other for one, other in pairs)
    note(
        f"loading the plugin: {loaded:.1f} ms with, {left_out:.1f} ms with -p no:mailauth, "
        f"median of {PAIRS} differences {added:+.1f} ms"
    )
