"""A fuzz run over the three engines, in memory: what a client may send, and what must hold whatever it sends.

Each session is a function of a seed and a number, so that a finding comes with all that is needed to see it again.
Run it with ``python tests/fuzz/run.py``; ``--only NUMBER`` plays one session alone and lets what it raises through.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import multiprocessing
import random
import re
import sys
import time
import traceback
from itertools import pairwise
from typing import get_args

from fuzz_plans import ALICE, BOB, GUESS, HIDDEN, MAIL, PASSWORD, SCRAM_FIRSTS, Peer, b64, planned, script_of

from pytest_mailauth.model import events as e
from pytest_mailauth.model.canary import find
from pytest_mailauth.model.terms import Protocol
from pytest_mailauth.model.transcript import hidden_values, render
from pytest_mailauth.servers.engines.contract import Close, Output, Reset, Send, StartTLS
from pytest_mailauth.servers.engines.imap.engine import MAX_COMMAND, MAX_EARLY_COMMAND, MAX_LINE
from pytest_mailauth.servers.engines.lines import LENIENT_LIMIT
from pytest_mailauth.servers.engines.pop3_syntax import LINE_LIMIT
from pytest_mailauth.servers.engines.smtp_lines import DATA_LINE_LIMIT, LINE_LIMITS
from pytest_mailauth.servers.letters import Message
from pytest_mailauth.servers.mailstore import MailStore
from pytest_mailauth.servers.policy import Policy
from pytest_mailauth.servers.server import engine_of

SESSIONS = 100_000
BATCH = 250
SHOWN_FINDINGS = 20
DECLARED = tuple(get_args(Output))


class Broken(Exception):
    """The contract does not hold."""


def _cut(chance, data):
    edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 3))))})
    return [data[start:end] for start, end in pairwise(edges)]


def _answer(chance, sent):
    """Return a right answer to the challenge at the end of *sent*, or None when there is none to be answered."""
    found = re.search(rb"(?:334|\+) ([A-Za-z0-9+/=]*)\r\n\Z", sent)
    if found is None or chance.random() < 0.2:
        return None
    try:
        challenge = base64.b64decode(found[1], validate=True)
    except ValueError:
        return None
    if challenge.startswith(b"r="):
        return _scram_answer(chance, challenge)
    if challenge.startswith(b"<"):
        return b64(ALICE.username.encode() + b" " + hmac.digest(PASSWORD.encode(), challenge, "md5").hex().encode())
    return {b"Username:": b64(ALICE.username), b"Password:": b64(PASSWORD)}.get(challenge)


def _scram_answer(chance, challenge):
    """Return the client's final message of SCRAM with SHA-256 or SHA-1, right or with one byte changed."""
    fields = dict(field.split(b"=", 1) for field in challenge.split(b",") if b"=" in field)
    header, name = SCRAM_FIRSTS.get(fields[b"r"][:3].decode("ascii", "replace"), ("n,,", "nobody"))
    digest = chance.choice(("sha256", "sha1"))
    salted = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), base64.b64decode(fields[b"s"]), int(fields[b"i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    bound = header.encode() + (b"unique" if header.startswith("p=") else b"")
    without = b"c=" + base64.b64encode(bound) + b",r=" + fields[b"r"]
    said = f"n={name},r={fields[b'r'][:3].decode('ascii', 'replace')},".encode() + challenge + b"," + without
    signature = hmac.digest(hashlib.new(digest, key).digest(), said, digest)
    final = without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True)))
    if chance.random() < 0.5:
        at = chance.randrange(len(final))
        final = final[:at] + chance.randbytes(1) + final[at + 1 :]
    return b64(final)


class Played:
    """A session that is being played, and checked as it goes."""

    def __init__(self, plan):
        protocol = Protocol(plan.config.protocol)
        self.store = MailStore((ALICE, BOB))
        self.store.deliver(Message(MAIL, "bob@example.test", (ALICE.address,)))
        self.policy = Policy(plan.config, self.store.accounts, script_of(protocol, plan.script_seed))
        self.engine = engine_of(protocol)(self.policy, self.store, over_tls=plan.over_tls)
        self.plan = plan
        self.outputs = []
        self.over = False
        self.hidden = {**HIDDEN, "unknown password": GUESS} if plan.careful else HIDDEN
        if plan.over_tls:
            self.engine.met(Peer())
        self.take(self.engine.greet())

    def take(self, outputs):
        """Check outputs and keep them; the last bytes that were sent are returned."""
        for place, output in enumerate(outputs):
            if not isinstance(output, DECLARED):
                raise Broken(f"an output that is not declared: {output!r}")
            if self.over and not isinstance(output, e.Fact):
                raise Broken(f"{output!r} after the end")
            if isinstance(output, Close | Reset):
                self.over = True
            if isinstance(output, StartTLS) and output is not outputs[-1]:
                raise Broken(f"{outputs[place + 1]!r} behind StartTLS")
            self._look(output)
        self.outputs += outputs
        return next((one.data for one in reversed(outputs) if isinstance(one, Send)), b"")

    def _look(self, fact):
        shown = getattr(fact, "shown", None) or getattr(fact, "reason", None)
        texts = [shown] if isinstance(shown, str) else []
        if isinstance(fact, e.Command | e.Authentication):
            texts.append(repr(fact))
        for text in texts:
            for name, secret in self.hidden.items():
                if find(secret, _printed(text)):
                    raise Broken(f"the {name} is shown in a {type(fact).__name__}")

    def feed(self, pieces):
        """Feed one item of the talk in pieces; what is behind STARTTLS in it is never fed."""
        sent = b""
        for piece in pieces:
            outputs = self.engine.receive(piece)
            sent = self.take(outputs) or sent
            if outputs and isinstance(outputs[-1], StartTLS):
                self.engine.met(Peer())
                self.take(self.engine.tls_started())
                break
        self.check_memory()
        return sent

    def check_memory(self):
        """Check that what waits in the engine is no more than it declares."""
        for name, (held, limit) in _held(self.engine, self.plan.config).items():
            if held > limit:
                raise Broken(f"{name} holds {held} bytes, and declares at most {limit}")

    def end(self):
        """Let the client leave, and look at the transcript."""
        self.take(self.engine.eof())
        self.check_memory()


def _held(engine, config):
    is_lenient = config.line_limits == "lenient"
    longest = LENIENT_LIMIT if is_lenient else MAX_LINE
    match config.protocol:
        case Protocol.SMTP:
            limit = LENIENT_LIMIT if is_lenient else max(*LINE_LIMITS.values(), DATA_LINE_LIMIT)
            return {"the reader": (len(engine._core._reader.buffer), limit)}
        case Protocol.POP3:
            return {"the line buffer": (len(engine._lines), LENIENT_LIMIT if is_lenient else LINE_LIMIT)}
        case _:
            pending = engine._pending
            early = engine._session.state.name == "NOT_AUTHENTICATED"
            most = (MAX_EARLY_COMMAND if early else MAX_COMMAND) + longest
            literal = pending.missing or 0 if pending else 0
            return {
                "the line buffer": (len(engine._lines), max(longest, min(literal, most))),
                "the command": (len(pending.data) if pending else 0, most),
            }


def _structure(outputs):
    """Return what must not depend on how the input was cut; nonces and times are left out."""
    rest = [output for output in outputs if not isinstance(output, Send)]
    sent = b"".join(output.data for output in outputs if isinstance(output, Send))
    return rest, [line[:3] for line in sent.split(b"\r\n")]


def play(seed, number):
    """Play one session.

    Raises:
        Broken: The contract does not hold.
    """
    plan = planned(seed, number)
    chance = random.Random(f"{seed} {number} cuts")  # noqa: S311
    played = Played(plan)
    for item in plan.talk:
        sent = played.feed(_cut(chance, item))
        answer = _answer(chance, sent) if plan.adaptive else None
        if answer is not None:
            played.feed(_cut(chance, answer + b"\r\n"))
        if played.over and chance.random() < 0.5:
            break
    played.end()
    if chance.random() < 0.15:
        _check_transcript(played)
        if not plan.adaptive:
            _check_cuts(plan)


def _printed(text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Broken(f"{text!r} cannot be printed") from error


def _check_transcript(played):
    at = iter(range(len(played.outputs)))
    entries = [e.Entry(float(next(at)), None, fact) for fact in played.outputs if isinstance(fact, e.Fact)]
    text = render(entries, hidden_values(played.store.accounts))
    for name, secret in played.hidden.items():
        if find(secret, _printed(text)):
            raise Broken(f"the {name} is shown in the transcript")


def _check_cuts(plan):
    whole, bytewise = Played(plan), Played(plan)
    for item in plan.talk:
        whole.feed([item])
        bytewise.feed([item[at : at + 1] for at in range(len(item))] if len(item) < 3000 else [item[:7], item[7:]])
    if _structure(whole.outputs) != _structure(bytewise.outputs):
        raise Broken("the outputs depend on how the input was cut")


def batch(job):
    """Play the sessions of a range and return the findings."""
    seed, start, end = job
    findings = []
    for number in range(start, end):
        try:
            play(seed, number)
        except Exception:  # noqa: BLE001 - whatever it is, it is a finding
            findings.append((number, traceback.format_exc(limit=-4)))
    return end - start, findings


def run(seed, sessions, workers, progress=lambda _done: None):
    """Play sessions 0 to *sessions* on so many processes; return the findings, each with its session's number."""
    jobs = [(seed, start, min(start + BATCH, sessions)) for start in range(0, sessions, BATCH)]
    findings, done = [], 0
    if workers == 1:
        results = map(batch, jobs)
    else:
        pool = multiprocessing.get_context("spawn").Pool(workers)
        results = pool.imap_unordered(batch, jobs)
    for played, found in results:
        done += played
        findings += found
        progress(done)
    if workers != 1:
        pool.close()
        pool.join()
    return findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="play one session, and let through what it raises")
    options = parser.parse_args()
    if options.only is not None:
        print(planned(options.seed, options.only))
        play(options.seed, options.only)
        return 0
    began = time.monotonic()

    def progress(done):
        if done % 10_000 < BATCH:
            print(f"{done} sessions, {time.monotonic() - began:.0f} s", flush=True)

    findings = run(options.seed, options.sessions, options.workers, progress)
    seconds = time.monotonic() - began
    print(f"seed {options.seed}, {options.sessions} sessions, {seconds:.1f} seconds, {len(findings)} findings")
    for number, text in findings[:SHOWN_FINDINGS]:
        print(f"\nagain: python tests/fuzz/run.py --seed {options.seed} --only {number}\n{text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
