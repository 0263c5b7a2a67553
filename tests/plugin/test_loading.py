"""The plugin costs nothing to those who do not use it, and can be switched off."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest_mailauth

HEAVY = (
    "trustme",
    "cryptography",
    "aiosmtpd",
    "hypothesis",
    "pytest_mailauth.servers",
    "pytest_mailauth.judge",
    "smtplib",
    "rich",
    "click",
)


def test_nothing_heavy_is_imported_by_a_suite_that_does_not_use_it(pytester):
    pytester.makepyfile("def test_it(): ...")
    pytester.makeconftest(
        f"""
        import sys

        def pytest_collection_finish(session):
            print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])
        """
    )
    # Hypothesis has a plugin of its own, which imports it only when it is used; ours must not either. Without those
    # plugins that import some of it themselves.
    others = [part for name in ("benchmark", "randomly", "asyncio") for part in ("-p", f"no:{name}")]
    result = pytester.runpytest_subprocess("--collect-only", "-q", "-s", *others)
    result.stdout.fnmatch_lines(["HEAVY []"])


def test_the_package_imports_nothing_but_what_is_asked_for():
    program = (
        "import sys, pytest_mailauth;"
        "print([n for n in ('trustme', 'cryptography', 'aiosmtpd', 'hypothesis', 'ssl', 'asyncio') if n in sys.modules]);"
        "print(sorted(n for n in sys.modules if n.startswith('pytest_mailauth')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "['pytest_mailauth']"]


def test_hypothesis_is_not_imported_by_the_plugin():
    program = (
        "import sys, pytest_mailauth.plugin;"
        "print([n for n in ('trustme', 'cryptography', 'aiosmtpd', 'hypothesis') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported():
    assert len(pytest_mailauth.__all__) == len(set(pytest_mailauth.__all__))
    for name in pytest_mailauth.__all__:
        # A module of the same name would take its place as soon as it is imported.
        assert not isinstance(getattr(pytest_mailauth, name), types.ModuleType)
    assert set(pytest_mailauth.__all__) <= set(dir(pytest_mailauth))


def test_switched_off(pytester):
    pytester.makepyfile("def test_it(mailauth): ...")
    result = pytester.runpytest("-p", "no:mailauth", "-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'mailauth' not found*"])


def test_under_xdist_each_worker_has_servers_of_its_own(pytester):
    pytester.makepyfile(
        """
        import pytest, smtplib

        @pytest.mark.parametrize("number", range(8))
        def test_it(mailauth_smtp, number):
            with smtplib.SMTP(mailauth_smtp.host, mailauth_smtp.port, timeout=5) as client:
                client.starttls(context=mailauth_smtp.ssl_context())
                client.login(mailauth_smtp.account.username, mailauth_smtp.account.password)
            assert len(mailauth_smtp.sessions) == 1
        """
    )
    pytester.runpytest_subprocess("-n", "2", "-W", "error", "-p", "no:asyncio").assert_outcomes(passed=8)
