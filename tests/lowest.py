"""Write the lowest promised version of every direct dependency as pins, for the tox environment ``lowest``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def pins(project: dict) -> list[str]:
    requirements = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
    return [requirement.replace(">=", "==") for requirement in requirements]


if __name__ == "__main__":
    source = Path(__file__).parent.parent / "pyproject.toml"
    Path(sys.argv[1]).write_text("\n".join(pins(tomllib.loads(source.read_text()))) + "\n")
