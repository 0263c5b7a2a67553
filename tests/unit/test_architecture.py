"""The house keeps its shape: imports go down only, pure rooms stay pure, rooms stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_mailauth

ROOT = Path(pytest_mailauth.__file__).parent
MODULES = {
    ".".join(("pytest_mailauth", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}
WINGS = ("model", "servers", "network", "judge", "report")
"""From the ground up: a wing imports itself and what stands before it. Everything else is a face, on top."""
PURE = (
    "pytest_mailauth.model",
    "pytest_mailauth.judge.rules",
    "pytest_mailauth.servers.policy",
    "pytest_mailauth.servers.sasl",
    "pytest_mailauth.servers.engines",
)
IMPURE = {"socket", "ssl", "threading", "time", "select", "selectors", "subprocess"}
SOFT_LIMIT = 300


def imports(path, *, lazy):
    """Yield the modules that *path* imports; with *lazy*, those inside functions and for type checking too."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree)) if lazy else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets = [f"{node.module}.{name.name}" for name in node.names]
            modules = [target for target in targets if target in MODULES]
            # `from package import module` means the module, not the package.
            yield from modules or [node.module, *targets]


def wing_of(module):
    parts = module.split(".")
    return WINGS.index(parts[1]) if len(parts) > 1 and parts[1] in WINGS else len(WINGS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    for target in imports(MODULES[module], lazy=True):
        if target in MODULES and module != "pytest_mailauth":
            assert wing_of(target) <= wing_of(module), f"{module} imports {target}"


@pytest.mark.parametrize("module", [name for name in MODULES if f"{name}.".startswith("pytest_mailauth.judge.rules.")])
def test_rules_import_the_model_and_nothing_else(module):
    for target in imports(MODULES[module], lazy=True):
        if target.startswith("pytest_mailauth"):
            assert target.startswith(("pytest_mailauth.model", "pytest_mailauth.judge.rules")), target


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith(PURE)])
def test_pure_rooms_touch_no_socket_thread_or_clock(module):
    touched = {target.partition(".")[0] for target in imports(MODULES[module], lazy=True)} & IMPURE
    assert touched == set()
    if ".engines.smtp" not in module:  # aiosmtpd's grammar raises asyncio's exceptions
        assert "asyncio" not in set(imports(MODULES[module], lazy=True))


def test_only_the_smtp_engine_imports_aiosmtpd():
    users = [name for name, path in MODULES.items() if any(t.startswith("aiosmtpd") for t in imports(path, lazy=True))]
    assert users == ["pytest_mailauth.servers.engines.smtp"]


def test_only_the_wire_and_the_network_touch_sockets():
    users = {name for name, path in MODULES.items() if {"socket", "_socket"} & set(imports(path, lazy=True))}
    rooms = ("pytest_mailauth.servers.wire", "pytest_mailauth.network.")
    assert {name for name in users if not name.startswith(rooms)} == set()


def test_what_runs_in_a_namespace_imports_nothing_that_takes_long():
    path = MODULES["pytest_mailauth.network.inside"]
    program = "import sys; sys.path.append(sys.argv[1]); import inside; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", program, path.parent]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert loaded >= {"inside", "ctypes", "marshal"}
    assert not loaded & {"socket", "signal", "enum", "re", "contextlib", "typing", "pathlib", "subprocess", "json"}


def test_no_cycles():
    edges = {
        name: {target for target in imports(path, lazy=False) if target in MODULES and target != name}
        for name, path in MODULES.items()
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            path.append(name)
            for target in edges[name]:
                visit(target)
            path.pop()
            done.add(name)

    for name in edges:
        visit(name)


@pytest.mark.parametrize("module", MODULES)
def test_rooms_stay_small(module):
    assert len(MODULES[module].read_text().splitlines()) <= SOFT_LIMIT + 60


@pytest.mark.parametrize("module", MODULES)
def test_no_room_is_a_drawer(module):
    assert not {"utils", "helpers", "common", "base"} & set(module.split("."))


@pytest.mark.parametrize("module", MODULES)
def test_every_room_states_its_law(module):
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
