"""Every file under docs/examples does what it shows, each in a process of its own that cannot leave loopback."""

from __future__ import annotations

import importlib.util

import pytest
from documents import ROOT, links
from test_examples import GUARD, LEFT_LOOPBACK

FOLDER = ROOT / "docs/examples"
DEADLINE = 60
NEEDS = {
    "test_sync.py": (),
    "test_pytest_asyncio.py": ("pytest_asyncio", "aiosmtplib"),
    "test_anyio.py": ("anyio", "trio"),
    "test_django.py": ("django",),
    "test_flask.py": ("flask", "flask_mailman"),
    "test_fastapi.py": ("fastapi", "httpx2", "aiosmtplib"),
}
"""What each example imports that may not be there."""


def _is_there(module):
    return importlib.util.find_spec(module) is not None


# pytest-asyncio warns, of every suite that leaves this open.
CHOICES = ("-o", "asyncio_default_fixture_loop_scope=function") if _is_there("pytest_asyncio") else ()
# aiosmtplib closes its connection without waiting for that: a loop that ends at the wrong moment leaves the socket to
# the garbage collector, which says so or not as the machine is busy.
LEAVES_SOCKETS = ("-W", "ignore::ResourceWarning")
OPTIONS = ("-W", "error", "--strict-markers", "--strict-config", "-p", "no:cacheprovider", *CHOICES)


@pytest.fixture
def run(pytester):
    """Run a test file in a fresh process, every warning an error."""
    # The folder of the run comes first on the path of the new interpreter, which imports this before anything else.
    (pytester.path / "sitecustomize.py").write_text(GUARD, encoding="utf-8")

    def run(name, source):
        allowed = LEAVES_SOCKETS if "import aiosmtplib" in source else ()
        (pytester.path / name).write_text(source, encoding="utf-8")
        return pytester.runpytest_subprocess(*OPTIONS, *allowed, name, timeout=DEADLINE)

    return run


def test_the_guard_of_the_examples_works(run):
    source = "import socket\n\n\ndef test_it():\n    with socket.socket(type=socket.SOCK_DGRAM) as one:\n"
    assert run("test_it.py", f"{source}        one.connect(('192.0.2.1', 9))\n").ret == LEFT_LOOPBACK


@pytest.mark.parametrize("name", NEEDS)
def test_the_example_passes(name, run):
    missing = [module for module in NEEDS[name] if not _is_there(module)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    result = run(name, (FOLDER / name).read_text(encoding="utf-8"))
    assert result.ret == pytest.ExitCode.OK
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] >= 2
    assert outcomes.keys() <= {"passed", "xfailed"}


def test_every_example_is_run_and_listed():
    files = {path.name for path in FOLDER.glob("*.py")}
    assert files == set(NEEDS)
    assert files == {target for target in links(FOLDER / "README.md") if target.endswith(".py")}


@pytest.mark.parametrize("name", NEEDS)
def test_the_example_shows_what_its_readers_look_for(name):
    source = (FOLDER / name).read_text(encoding="utf-8")
    assert ".wait_for_message(" in source or ".await_message(" in source
    assert "assert_obeys(" in source
    assert "pytest.raises(ssl.SSLCertVerificationError" in source
    assert "assert_not_authenticated(" in source
