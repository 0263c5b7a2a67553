"""Where there is no namespace to be had, the reason is told. None of these needs one."""

import errno
import os
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pytest_mailauth
from pytest_mailauth.model.errors import CannotServe, ServerFault
from pytest_mailauth.network import channel, inside, namespace
from pytest_mailauth.network.namespace import Namespace

PACKAGE = Path(pytest_mailauth.__file__).parent.parent
NO_UNSHARE = """
import ctypes, struct, sys
# A filter as containers have them (linux/filter.h, linux/seccomp.h): unshare gives EPERM, everything else goes on.
number = {number}
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
from pytest_mailauth.model.errors import CannotServe
from pytest_mailauth.network.namespace import Namespace
try:
    Namespace()
except CannotServe as refusal:
    print(refusal)
print(Namespace.probe())
"""
UNSHARE = {"x86_64": 272, "aarch64": 97}


@pytest.mark.skipif("not sys.platform.startswith('linux')")
@pytest.mark.skipif(platform.machine() not in UNSHARE, reason="the number of the system call is known for others")
def test_a_container_that_forbids_it_is_told():
    program = NO_UNSHARE.format(number=UNSHARE[platform.machine()])
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    refused, probed = done.stdout.splitlines()
    assert refused == probed
    assert refused.startswith("this system gives no network namespace (unshare: Operation not permitted); ")
    assert done.stderr == ""


def test_a_setting_that_forbids_it_is_named(monkeypatch, tmp_path):
    refusal = PermissionError(errno.EACCES, "Permission denied", "mount")
    monkeypatch.setattr(channel, "_SETTINGS", tmp_path)
    assert channel._why_not(refusal) == (
        "this system gives no network namespace (mount: Permission denied); a container's seccomp profile or a "
        "security module forbids it; for Docker see --security-opt seccomp=unconfined and apparmor=unconfined"
    )
    (tmp_path / "kernel").mkdir()
    setting = tmp_path / "kernel/apparmor_restrict_unprivileged_userns"
    setting.write_text("0\n")
    assert "Docker" in channel._why_not(refusal)
    setting.write_text("1\n")
    assert channel._why_not(refusal).endswith(
        "; AppArmor restricts it (Ubuntu): the setting kernel.apparmor_restrict_unprivileged_userns is 1"
    )


def test_another_system_is_told(monkeypatch):
    monkeypatch.setattr(namespace, "sys", types.SimpleNamespace(platform="darwin"))
    with pytest.raises(CannotServe, match="needs Linux's namespaces; this is darwin"):
        Namespace()


@pytest.mark.skipif("not sys.platform.startswith('linux')")
def test_a_helper_that_does_not_start_is_told(monkeypatch):
    monkeypatch.setattr(channel, "_INSIDE", (sys.executable, "-c", "raise SystemExit(9)"))
    with pytest.raises(ServerFault, match="the helper inside the namespace ended with status 9"):
        Namespace()


@pytest.fixture
def probed_with(monkeypatch):
    """Return a function that probes where every program ends so."""

    def probe(status, said):
        ended = types.SimpleNamespace(returncode=status, stderr=said)
        monkeypatch.setattr(namespace, "Channel", lambda: types.SimpleNamespace(ask=lambda *_: b"", close=lambda: None))
        monkeypatch.setattr(Namespace, "run", lambda *_, **__: ended)
        monkeypatch.setattr(namespace, "sys", types.SimpleNamespace(platform="linux", executable=sys.executable))
        return namespace._probe.__wrapped__(None)

    return probe


def test_a_program_that_cannot_be_run_inside_is_a_reason(probed_with):
    assert namespace.CANNOT_ENTER == inside.CANNOT_ENTER
    reason = probed_with(inside.CANNOT_ENTER, "mailauth: cannot enter the namespace: unshare\n")
    assert reason == "no program can be run in a namespace: mailauth: cannot enter the namespace: unshare"


def test_a_failure_of_ours_is_no_reason_to_skip(probed_with):
    with pytest.raises(ServerFault, match="a program in a namespace ended with status -9: why"):
        probed_with(-9, "why")


def test_there_is_a_namespace_where_another_program_gets_one():
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "true"]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("unshare gives none either")
    assert Namespace.probe() is None
