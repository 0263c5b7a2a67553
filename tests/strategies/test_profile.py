"""The profile for tests over a network, by name from the command line, and the factory under @given."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import Phase, settings

import pytest_mailauth
from pytest_mailauth.hypothesis_profile import PROFILE, register

ROOT = Path(pytest_mailauth.__file__).parents[1]


@pytest.fixture
def run(pytester):
    """Run another Python, with this package as pyproject.toml installs it: its entry points above all."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = described["entry-points"]
    info = pytester.mkdir("installed") / "pytest_mailauth-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-mailauth\nVersion: 0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in groups[group].items()) for group in groups
    ]
    (info / "entry_points.txt").write_text("".join(lines))
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / "pytest_mailauth").rglob("*.py"))
    (info / "RECORD").write_text("".join(f"{path.as_posix()},,\n" for path in modules))
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTHONWARNINGS")}
    # The first of two installations of one name counts, so the one beside this interpreter is not looked at.
    environment["PYTHONPATH"] = os.pathsep.join([str(info.parent), str(ROOT)])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=pytester.path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def pytest_run(run, *arguments):
    return run("-m", "pytest", "-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider", *arguments)


def test_the_profile():
    register()
    profile = settings.get_profile(PROFILE)
    assert profile.deadline is None
    assert profile.print_blob
    assert profile.max_examples < settings.default.max_examples
    assert set(profile.phases) == {Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink}
    assert profile.suppress_health_check == settings.default.suppress_health_check


def test_a_profile_of_the_project_stays(run):
    done = run(
        "-c",
        "import hypothesis as h; h.settings.register_profile('mailauth', max_examples=7); "
        "import pytest_mailauth.strategies; print(h.settings.get_profile('mailauth').max_examples)",
    )
    assert done.stdout == "7\n", done.stderr


def test_the_profile_is_there_once_the_strategies_are_imported(run):
    program = "import pytest_mailauth.strategies, hypothesis as h; print(h.settings.get_profile('mailauth').deadline)"
    assert run("-c", program).stdout == "None\n"


def test_registering_imports_nothing_but_hypothesis(run):
    program = (
        "import hypothesis, sys; hypothesis.settings.get_profile('mailauth'); "
        "print([name for name in sys.modules if name.startswith('pytest_mailauth')])"
    )
    done = run("-c", program)
    assert done.stdout == "['pytest_mailauth', 'pytest_mailauth.hypothesis_profile']\n", done.stderr


def test_hypothesis_may_be_imported_before_pytest_starts(run, pytester):
    pytester.makepyfile("def test_nothing(mailauth_smtp): pass")
    program = "import hypothesis, pytest, sys; sys.exit(pytest.main(['-p', 'no:asyncio']))"
    done = run("-c", program)
    assert done.returncode == 0, done.stdout + done.stderr
    warned = [line for line in (done.stdout + done.stderr).splitlines() if "cannot be rewritten" in line]
    assert not [line for line in warned if "mailauth" in line]  # Hypothesis warns of modules of its own


def test_the_plugin_imports_no_hypothesis(run):
    program = "import sys; import pytest_mailauth.plugin; print('hypothesis' in sys.modules)"
    assert run("-c", program).stdout == "False\n"


FAILING = """
    from hypothesis import given, settings
    from hypothesis import strategies as st

    @given(st.integers())
    def test_settings(number):
        assert settings.default.deadline is None
        assert settings.default.max_examples == 30

    @given(st.integers())
    def test_fails(number):
        assert number < 10
"""


def test_the_profile_by_name_from_the_command_line(run, pytester):
    pytester.makepyfile(FAILING)
    done = pytest_run(run, "--hypothesis-profile", "mailauth")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "@reproduce_failure(" in done.stdout
    assert "number=10" in done.stdout


def test_without_the_profile_settings_are_hypothesis_own(run, pytester):
    pytester.makepyfile(FAILING)
    done = pytest_run(run)
    assert "2 failed" in done.stdout, done.stdout + done.stderr


def test_statistics_count_the_cases(run, pytester):
    pytester.makepyfile("""
        from hypothesis import given
        from pytest_mailauth import strategies

        @given(port=strategies.ports())
        def test_ports(port):
            pass
    """)
    done = pytest_run(run, "--hypothesis-show-statistics")
    assert "ports: well known" in done.stdout, done.stdout + done.stderr
    assert "ports: 2525" in done.stdout


GIVEN = """
    import smtplib
    import threading

    from hypothesis import given
    from pytest_mailauth import strategies

    servers, threads = [], set()

    @given(config=strategies.server_configs("smtp", sound=True))
    def test_each_example_has_a_server_of_its_own(mailauth_factory, config):
        with mailauth_factory.serve(config) as server:
            assert not server.messages
            kind = smtplib.SMTP_SSL if server.security == "implicit" else smtplib.SMTP
            given = {"context": server.ssl_context()} if server.security == "implicit" else {}
            with kind(server.host, server.port, timeout=5, **given) as smtp:
                if server.security == "starttls":
                    smtp.starttls(context=server.ssl_context())
                smtp.login(server.account.username, server.account.password)
                smtp.sendmail(server.account.address, ["bob@example.test"], "Subject: Welcome\\r\\n\\r\\nHello\\r\\n")
            assert len(server.messages) == 1
        servers.append(server)
        threads.add(frozenset(threading.enumerate()))

    def test_afterwards():
        assert len(servers) >= 20
        assert all(server.closed for server in servers)
        assert len({server.account.username for server in servers}) == len(servers)
        assert len(threads) == 1
"""


def test_the_factory_is_safe_under_given(run, pytester):
    pytester.makepyfile(GIVEN)
    done = pytest_run(run, "-W", "error", "--hypothesis-profile", "mailauth")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_server_of_one_test_is_none_for_many_examples(run, pytester):
    pytester.makepyfile("""
        from hypothesis import given
        from pytest_mailauth import strategies

        @given(port=strategies.ports())
        def test_shared(mailauth_smtp, port):
            pass
    """)
    done = pytest_run(run, "--hypothesis-profile", "mailauth")
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert "FailedHealthCheck" in done.stdout
    assert "mailauth_smtp" in done.stdout
