"""Clients that use what came in clear before TLS, each in its own way, and honest ones that look alike."""

from __future__ import annotations

import random
import re

import pytest
from clients.failures import ConnectionFailed, ProtocolError
from clients.wire import Wire
from trying import broken, encoded, plain, tried

from pytest_mailauth.model.terms import Protocol, Verdict

RULE = "discard-pretls-bytes"


def judged(run, protocol, *scenarios):
    return tried(run, scenarios, protocol=Protocol(protocol), timeout=0.6)


def login(case):
    return [encoded(answer) for answer in (case.username, case.password)]


class Talk:
    """Commands and whole replies over a wire whose buffer is taken away or left at will."""

    def __init__(self, case):
        self.case = case
        self.wire = Wire(case.host, case.port, timeout=case.timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def smtp(self, command=None):
        if command is not None:
            self.wire.send_line(command)
        lines = [self.wire.read_line()]
        while lines[-1][3:4] == "-":
            lines.append(self.wire.read_line())
        return lines

    def imap(self, tag, command):
        self.wire.send_line(f"{tag} {command}")
        lines = [self.wire.read_line()]
        while not lines[-1].startswith((f"{tag} ", "+")):
            lines.append(self.wire.read_line())
        return lines

    def start_tls(self, keep=None):
        """Do the handshake; return what came in clear, of which the buffer keeps what *keep* says."""
        early, self.wire._buffer = self.wire._buffer, b""
        self.wire.start_tls(self.case.ssl_context())
        self.wire._buffer = keep(early) if keep else b""
        return early

    def to_tls(self, **how):
        self.smtp()
        self.smtp("EHLO x")
        self.smtp("STARTTLS")
        return self.start_tls(**how)


def whole(early):
    return early


def asks_the_injected_list_instead_of_the_server_imap(case):
    with Talk(case) as talk:
        talk.wire.read_line()
        talk.imap("A1", "STARTTLS")
        listed = re.search(r"\* CAPABILITY ([^\r\n]+)\r\n", talk.start_tls().decode())
        offered = listed[1] if listed else " ".join(talk.imap("A2", "CAPABILITY"))
        assert "AUTH=PLAIN" in offered
        talk.imap("A3", "AUTHENTICATE PLAIN")
        talk.wire.send_line(plain(case))
        talk.wire.read_line()


def asks_the_injected_list_instead_of_the_server_smtp(case):
    with Talk(case) as talk:
        offered = talk.to_tls().decode() or "\n".join(talk.smtp("EHLO x"))
        assert "AUTH" in offered
        talk.smtp(f"AUTH PLAIN {plain(case)}")
        talk.smtp("QUIT")


def takes_its_leave_when_nobody_answers(case):
    with Talk(case) as talk:
        talk.to_tls(keep=whole)
        try:
            talk.smtp("EHLO x")
        except ConnectionFailed:
            talk.wire.send_line("QUIT")
            raise
        talk.smtp(f"AUTH PLAIN {plain(case)}")


def is_careful_once(case):
    for keep in (None, whole):
        with Talk(case) as talk:
            talk.smtp()
            talk.smtp("EHLO x")
            talk.smtp("STARTTLS")
            if keep is None and talk.wire.has_line:
                continue
            talk.start_tls(keep=keep or whole)
            talk.smtp("EHLO x")
            talk.smtp(f"AUTH PLAIN {plain(case)}")
            return


@pytest.mark.parametrize(
    ("run", "protocol"),
    [
        (asks_the_injected_list_instead_of_the_server_imap, "imap"),
        (asks_the_injected_list_instead_of_the_server_smtp, "smtp"),
        (takes_its_leave_when_nobody_answers, "smtp"),
        (is_careful_once, "smtp"),
    ],
)
def test_what_only_the_injected_lines_can_have_answered_is_a_violation(run, protocol):
    scenario = f"inject-after-starttls-ok-{protocol}"
    rows = judged(run, protocol, scenario)
    assert broken(rows) == {scenario: [RULE]}
    assert "used them as replies" in rows[scenario].judgements[0].finding.evidence


def has_tags_that_cannot_be_foreseen(case):
    chance = random.SystemRandom()

    def tag():
        return "".join(chance.choice("GHJKLM") for _ in range(8))

    with Talk(case) as talk:
        talk.wire.read_line()
        talk.imap(tag(), "STARTTLS")
        talk.start_tls(keep=lambda early: early[: early.rfind(b"\n") + 1])
        mechanism = "PLAIN" if "AUTH=PLAIN" in " ".join(talk.imap(tag(), "CAPABILITY")) else "LOGIN"
        talk.imap(tag(), f"AUTHENTICATE {mechanism}")
        for answer in {"PLAIN": [plain(case)], "LOGIN": login(case)}[mechanism]:
            talk.wire.send_line(answer)
            talk.wire.read_line()


def test_an_untagged_line_needs_no_tag_to_be_used():
    rows = judged(has_tags_that_cannot_be_foreseen, "imap", "inject-after-starttls-ok-imap", "inject-untagged-line")
    assert broken(rows) == {"inject-after-starttls-ok-imap": [], "inject-untagged-line": [RULE]}


@pytest.mark.parametrize("farewell", ["QUIT", "NOOP", "RSET", "EHLO x"])
def test_a_client_that_discards_the_bytes_may_say_so_in_its_own_way(farewell):
    def honest(case):
        with Talk(case) as talk:
            early = talk.to_tls()
            try:
                talk.smtp("EHLO x")
            except ConnectionFailed:
                if early:
                    talk.wire.send_line(farewell)
                raise
            talk.smtp(f"AUTH PLAIN {plain(case)}")

    row = judged(honest, "smtp", "inject-after-starttls-ok-smtp")["inject-after-starttls-ok-smtp"]
    assert row.verdict is Verdict.PASS


def test_an_empty_mechanism_costs_no_report():
    def stutters(case):
        with Talk(case) as talk:
            talk.wire.read_line()
            talk.wire.send_line("STLS")
            talk.wire.read_line()
            talk.start_tls()
            talk.wire.send_line("AUTH  ")
            while talk.wire.read_line() != ".":
                pass
            talk.wire.send_line("AUTH LOGIN")
            talk.wire.read_line()
            for answer in login(case):
                talk.wire.send_line(answer)
                talk.wire.read_line()

    row = judged(stutters, "pop3", "inject-partial-line")["inject-partial-line"]
    assert row.verdict is Verdict.PASS


def test_a_tag_may_be_a_number_of_any_length():
    def counts_far(case):
        with Talk(case) as talk:
            talk.wire.read_line()
            talk.imap("9" * 5000, "STARTTLS")
            talk.start_tls()
            talk.imap("a", f"LOGIN {case.username} {case.password}")

    row = judged(counts_far, "imap", "inject-after-starttls-ok-imap")["inject-after-starttls-ok-imap"]
    assert row.verdict is Verdict.PASS


@pytest.mark.parametrize("scenario", ["starttls-not-offered-imap", "preauth-no-caps", "logindisabled-ignored"])
@pytest.mark.parametrize("reads", [True, False])
def test_leaving_without_a_word_is_obedience_only_after_reading(scenario, reads):
    runs = iter("control" if reads else "coontrol")  # what proves nothing is run once more

    def client(case):
        with Talk(case) as talk:
            if next(runs) != "o":  # the first run and the last are honest
                talk.wire.read_line()
                talk.imap("A1", "STARTTLS")
                talk.start_tls()
                talk.imap("A2", f"LOGIN {case.username} {case.password}")
            elif reads:
                talk.wire.read_line()
                raise ProtocolError("TLS is not to be had")

    row = judged(client, "imap", scenario)[scenario]
    assert row.verdict is (Verdict.PASS if reads else Verdict.INCONCLUSIVE)
    assert reads or "nothing shows that the client read the greeting" in row.judgements[0].finding.evidence


# What is read ahead, and what is left to TLS.


def reads_byte_by_byte(case):
    with Talk(case) as talk:
        talk.wire._read_size = 1
        talk.to_tls(keep=whole)  # there is nothing that could be kept
        talk.smtp("EHLO x")
        talk.smtp(f"AUTH PLAIN {plain(case)}")


def reads_64_bytes_and_keeps_what_it_has(case):
    with Talk(case) as talk:
        talk.wire._read_size = 64
        talk.smtp()
        talk.smtp("EHLO x")
        talk.smtp("STARTTLS")
        talk.wire._read_size = 5  # the head of a record, as TLS over a socket reads it
        talk.start_tls(keep=whole)
        offered = talk.smtp("EHLO x")
        mechanism = "PLAIN" if any("PLAIN" in line for line in offered) else "LOGIN"
        talk.smtp(f"AUTH {mechanism}" + (f" {plain(case)}" if mechanism == "PLAIN" else ""))
        for answer in login(case) if mechanism == "LOGIN" else []:
            talk.smtp(answer)


def gives_its_buffer_to_tls(case):
    with Talk(case) as talk:
        talk.smtp()
        talk.smtp("EHLO x")
        talk.smtp("STARTTLS")
        read, early = talk.wire._read_socket, [talk.wire._buffer] if talk.wire._buffer else []
        talk.wire._buffer = b""
        talk.wire._read_socket = lambda: early.pop() if early else read()
        talk.wire.start_tls(case.ssl_context())
        talk.smtp("EHLO x")
        talk.smtp(f"AUTH PLAIN {plain(case)}")


SMALL = ("inject-after-starttls-ok-smtp", "inject-login-ok", "inject-partial-line", "inject-garbage-suffix")


def test_who_reads_byte_by_byte_cannot_be_tried_and_is_told_so():
    rows = judged(reads_byte_by_byte, "smtp", *SMALL, "inject-large-suffix", "inject-split-segments")
    for name in SMALL:
        (judgement,) = rows[name].judgements
        assert judgement.finding.verdict is Verdict.INCONCLUSIVE
        assert re.search("does not read ahead|cannot be seen on this system", judgement.finding.evidence)
    # What is too large for any buffer, or comes later, reaches everybody's TLS.
    assert rows["inject-large-suffix"].verdict is Verdict.PASS
    assert rows["inject-split-segments"].verdict is Verdict.PASS


def test_who_reads_a_part_is_tried_with_what_fits_it():
    rows = judged(reads_64_bytes_and_keeps_what_it_has, "smtp", *SMALL)
    assert broken(rows)["inject-partial-line"] == [RULE]
    assert rows["inject-login-ok"].verdict is Verdict.INCONCLUSIVE


def test_who_gives_what_it_had_read_to_tls_is_safe():
    rows = judged(gives_its_buffer_to_tls, "smtp", *SMALL)
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(SMALL, Verdict.PASS)
    # Elsewhere than on Linux nobody could tell, and it would be inconclusive.
    assert "nothing of the injected bytes was left unread" in rows["inject-login-ok"].judgements[0].finding.evidence


def asks_for_no_list(case):
    with Talk(case) as talk:
        talk.wire.read_line()
        talk.wire.send_line("STLS")
        talk.wire.read_line()
        talk.start_tls(keep=whole)
        for line in (f"USER {case.username}", f"PASS {case.password}", "STAT", "QUIT"):
            talk.wire.send_line(line)
            assert talk.wire.read_line().startswith("+OK")


def test_a_login_without_a_list_can_be_answered_by_injected_lines_too():
    rows = judged(asks_for_no_list, "pop3", "inject-after-starttls-ok-pop3", "inject-login-ok")
    assert broken(rows) == {name: [RULE] for name in rows}
    assert "USER, PASS, STAT" in rows["inject-login-ok"].judgements[0].finding.evidence


def test_bytes_of_their_own_segment_spare_a_client_that_keeps_its_buffer():
    def keeps(case):
        with Talk(case) as talk:
            talk.to_tls(keep=whole)
            talk.smtp("EHLO x")
            talk.smtp(f"AUTH PLAIN {plain(case)}")

    rows = judged(keeps, "smtp", "inject-after-starttls-ok-smtp", "inject-split-segments")
    assert broken(rows) == {"inject-after-starttls-ok-smtp": [RULE], "inject-split-segments": []}
    assert "came to the client's TLS" in rows["inject-split-segments"].judgements[0].finding.evidence


def test_who_is_careful_after_the_handshake_is_not_taken_for_one_that_heeds_a_farewell():
    def refuses_late(case):
        with Talk(case) as talk:
            talk.wire.read_line()
            talk.imap("A1", "STARTTLS")
            if talk.start_tls():
                raise ProtocolError("something came in clear behind the reply that starts TLS")
            talk.imap("A2", f"LOGIN {case.username} {case.password}")

    row = judged(refuses_late, "imap", "inject-bye-suffix")["inject-bye-suffix"]
    assert row.verdict is Verdict.PASS
    assert "whatever was injected" in row.judgements[0].finding.evidence
