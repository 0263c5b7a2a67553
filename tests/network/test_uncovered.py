"""What cannot be led is told where it helps a user, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import types

import pytest

from pytest_mailauth import ConfigError, Network

HOST = "smtp.example.test"


class _Base:
    async def getaddrinfo(self, host, port, **_):
        return host, port

    async def create_connection(self, protocol_factory, host=None, port=None, **_):
        return protocol_factory, host, port


@pytest.fixture
def uvloop(monkeypatch):
    """As much of uvloop as matters: a loop in Python whose methods are those of a class in C."""
    module = types.ModuleType("uvloop")
    module.Loop = type("Loop", (_Base,), {})
    monkeypatch.setitem(sys.modules, "uvloop", module)
    return module.Loop


@pytest.mark.parametrize("host", [HOST, "smtp.gmail.com", b"smtp.gmail.com", "127.77.0.1", "198.51.100.1"])
def test_uvloop_is_told_before_it_asks_a_real_server(mailauth, uvloop, host):
    with Network(mailauth) as network:
        network.host(HOST).smtp(25)
        for call in (
            lambda: uvloop().create_connection(object, host, 25),
            lambda: uvloop().create_connection(object, host=host, port=25),
            lambda: uvloop().getaddrinfo(host, 25),
        ):
            with pytest.raises(ConfigError, match=r"network\.run"):
                call()
    assert vars(uvloop).keys().isdisjoint({"getaddrinfo", "create_connection"})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", None])
def test_uvloop_may_reach_this_machine(mailauth, uvloop, host):
    with Network(mailauth):
        assert asyncio.run(uvloop().create_connection(object, host, 25)) == (object, host, 25)


FAILING = """
    import subprocess, sys

    def test_x(mailauth_network):
        mailauth_network.host("smtp.example.test").smtp(587)
        {act}
        assert False
"""


def report(pytester, act):
    pytester.makepyfile(FAILING.format(act=act))
    result = pytester.runpytest("-p", "no:asyncio", "-p", "no:randomly")
    result.assert_outcomes(failed=1)
    return result.stdout.str()


def test_a_failure_to_which_no_client_came_tells_why(pytester):
    told = report(pytester, "pass")
    assert (
        "no client tried to connect while this network had smtp.example.test. Was it told one of these names?" in told
    )
    assert "network.run(" in told


def test_a_failure_tells_of_programs_that_were_started(pytester):
    told = report(pytester, "subprocess.run([sys.executable, '-c', ''])")
    assert f"other programs were started ({sys.executable}): they are not led here" in told


@pytest.mark.parametrize("module", ["uvloop", "pycurl"])
def test_a_failure_tells_of_clients_in_c(pytester, module):
    assert f"{module} is imported" in report(pytester, f"sys.modules[{module!r}] = sys")


def test_a_failure_tells_what_clients_tried(pytester):
    told = report(pytester, "import smtplib; smtplib.SMTP('smtp.example.test', 587, timeout=5).close()")
    assert "1. smtp.example.test:587 connected, nothing first, said nothing" in told
    assert "no client" not in told


def test_a_failure_tells_of_programs_that_were_run_here_and_did_not_connect(pytester):
    told = report(pytester, "mailauth_network.run([sys.executable, '-c', ''])")
    assert f"programs were run with these names and ports ({sys.executable}), and connected to none of them" in told
    assert "other programs were started" not in told


OF_UVLOOP = """
import asyncio, sys, uvloop

async def main():
    reader, writer = await asyncio.open_connection("smtp.example.test", 587)
    print((await reader.readline()).decode())
    writer.close()

uvloop.run(main())
"""


@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
def test_uvloop_is_led_as_a_whole_program(mailauth_network):
    """What the refusal above advises."""
    mailauth_network.host(HOST).smtp(587)
    done = mailauth_network.run([sys.executable, "-c", OF_UVLOOP], text=True, timeout=30)
    assert done.stdout.startswith("220 smtp.example.test"), done.stderr


def test_a_test_that_passes_hears_nothing(pytester):
    pytester.makepyfile(FAILING.format(act="subprocess.run([sys.executable, '-c', ''])").replace("assert False", ""))
    result = pytester.runpytest("-W", "error", "-p", "no:asyncio", "-p", "no:randomly")
    result.assert_outcomes(passed=1)
    assert "mailauth network" not in result.stdout.str()


def test_programs_are_remembered_by_the_network_they_were_started_under(mailauth):
    with Network(mailauth) as network:
        network.host(HOST)
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert sys.executable in network.summary()
    with Network(mailauth) as other:
        assert other.summary() == "no client tried to connect"


def test_a_failing_test_tells_why_nobody_answered_and_ends_in_its_own_library(pytester):
    pytester.makepyfile(
        """
        import smtplib

        def test_app(mailauth_network):
            mailauth_network.host("smtp.example.test").smtp(587)
            mailauth_network.isp("blocks-25")
            smtplib.SMTP("smtp.example.test", 25, timeout=30)
        """
    )
    output = pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:randomly").stdout
    output.fnmatch_lines(
        [
            "*/socket.py:*: TimeoutError",
            "*mailauth network*",
            "1. smtp.example.test:25 timeout after 30 s",
            "*Diagnosis:   Nothing answered on port 25: your provider may block it.*",
            "*Use port 587 instead.*",
        ]
    )
    assert "pytest_mailauth/network" not in str(output)
