"""What is overheard of one thread, and of those that nobody else listens to; nothing of ours is left behind."""

from __future__ import annotations

import logging
import sys
import threading

from pytest_mailauth.judge.overheard import Ear


def in_a_thread(step, name=None):
    thread = threading.Thread(target=step, name=name)
    thread.start()
    thread.join()


def state():
    return sys.stdout, sys.stderr, list(logging.getLogger().handlers)


def test_prints_and_logs_of_the_thread_are_overheard_and_passed_on(capsys, caplog):
    before = state()
    ear = Ear()
    try:
        print("to everybody", flush=True)
        sys.stderr.writelines(["an ", "error\n"])
        logging.getLogger("some.library").warning("a %s", "warning")
        for name in (None, "pytest-mailauth"):  # the second is one of ours, in which no client speaks
            in_a_thread(lambda: (print("from another thread"), logging.getLogger().warning("likewise")), name)
    finally:
        ear.close()
    print("when nobody listens")
    assert "".join(ear.printed) == "to everybody\nan error\nfrom another thread\n"
    assert ear.logged == ["a warning", "likewise"]
    assert capsys.readouterr() == (
        "to everybody\n" + 2 * "from another thread\n" + "when nobody listens\n",
        "an error\n",
    )
    assert caplog.messages == ["a warning", "likewise", "likewise"]
    assert state() == before


def test_two_threads_are_told_apart_and_the_last_one_tidies_up(capsys):
    before = state()
    first = Ear()
    others = []

    def other():
        others.append(Ear())
        print("the other")

    in_a_thread(other)
    print("the first")
    first.close()
    assert state() != before
    others[0].close()  # from another thread than its own
    others[0].close()
    assert state() == before
    assert ("".join(first.printed), "".join(others[0].printed)) == ("the first\n", "the other\n")


def test_a_stream_that_was_replaced_meanwhile_stays(monkeypatch):
    ear = Ear()
    mine = object()
    real = sys.stdout._stream
    sys.stdout = mine
    try:
        ear.close()
        assert sys.stdout is mine
    finally:
        sys.stdout = real


def test_where_nobody_else_logs_the_last_resort_does(capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    ear = Ear()
    try:
        logging.getLogger("some.library").warning("a warning")
    finally:
        ear.close()
    assert ear.logged == ["a warning"]
    assert capsys.readouterr().err == "a warning\n"
