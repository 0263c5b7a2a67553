"""A short fuzz run, so that every run of the suite plays some of it; the long one is a script."""

import importlib.util
from pathlib import Path

import pytest

from pytest_mailauth.model import events as e
from pytest_mailauth.servers.engines.contract import Close, Send, StartTLS

SCRIPT = Path(__file__).parents[1] / "fuzz" / "run.py"


@pytest.fixture(scope="module")
def fuzz():
    found = importlib.util.spec_from_file_location("mailauth_fuzz_run", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_a_short_run_finds_nothing(fuzz):
    assert fuzz.run("smoke", 300, workers=1) == []


def test_a_session_follows_from_seed_and_number(fuzz):
    assert fuzz.planned("smoke", 7) == fuzz.planned("smoke", 7)
    assert fuzz.planned("smoke", 7).talk != fuzz.planned("smoke", 8).talk


class Faulty:
    """An engine that breaks the contract in one way."""

    def __init__(self, outputs=(), error=None):
        self.outputs = list(outputs)
        self.error = error

    def __call__(self, _policy, _store, **_layer):
        return self

    def greet(self):
        return []

    def receive(self, _data):
        if self.error:
            raise self.error
        return self.outputs

    def met(self, _peer):
        pass

    def tls_started(self):
        return []

    def eof(self):
        return []


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([b"bytes"], "not declared"),
        ([Close(), Send(b"more")], "after the end"),
        ([StartTLS(b"go"), Send(b"more")], "behind StartTLS"),
        ([e.Command("NOOP", b"", "NOOP Pw1f0e2d3c4b5a69788796a5b4")], "the password is shown"),
        ([e.Response("VGswMDExMjIzMzQ0NTU2Njc3ODg5OWFhYmI=")], "the token is shown"),
        ([e.Malformed("what is Pw99887766554433221100aabb?")], "of another account is shown"),
    ],
)
def test_what_breaks_the_contract_is_found(fuzz, monkeypatch, outputs, reason):
    monkeypatch.setattr(fuzz, "engine_of", lambda _protocol: Faulty(outputs))
    monkeypatch.setattr(fuzz, "_held", lambda _engine, _config: {})
    with pytest.raises(fuzz.Broken, match=reason):
        fuzz.play("smoke", 0)


def test_buffers_that_grow_are_found(fuzz, monkeypatch):
    monkeypatch.setattr(fuzz, "engine_of", lambda _protocol: Faulty())
    monkeypatch.setattr(fuzz, "_held", lambda _engine, _config: {"the buffer": (11, 10)})
    with pytest.raises(fuzz.Broken, match="the buffer holds 11 bytes"):
        fuzz.play("smoke", 0)


def test_an_exception_is_a_finding_with_its_number(fuzz, monkeypatch):
    monkeypatch.setattr(fuzz, "engine_of", lambda _protocol: Faulty(error=IndexError("oh")))
    monkeypatch.setattr(fuzz, "_held", lambda _engine, _config: {})
    findings = fuzz.run("smoke", 2, workers=1)
    assert [number for number, _ in findings] == [0, 1]
    assert all("IndexError: oh" in text for _, text in findings)
