"""Trials with names and real ports: whom they exist for, that none sees another's, and clients that try to fool them."""

from __future__ import annotations

import base64
import contextlib
import gc
import smtplib
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
import warnings
from xml.etree import ElementTree as ET

import dns.resolver
import pytest

from pytest_mailauth.judge.clients.client import NO_WEB, OUT_OF_REACH, Client
from pytest_mailauth.judge.clients.command import command_client
from pytest_mailauth.judge.runner import Runner
from pytest_mailauth.judge.scenarios import SCENARIOS, settings_for
from pytest_mailauth.judge.trialrun import run_trial
from pytest_mailauth.model.errors import ConfigError
from pytest_mailauth.model.terms import Protocol, Security, Verdict
from pytest_mailauth.model.trial import Declaration
from pytest_mailauth.report.digest import digest

# smtplib is no judge of line lengths and mechanisms: here it is asked what a network is asked about.
NETWORKS = sorted({name for name, scenario in SCENARIOS.items() if scenario.family in "ABCNST"})
CHOOSES = {"mode": "from-port", "port": "chosen"}


def submit(case, port, *, implicit):
    make = smtplib.SMTP_SSL if implicit else smtplib.SMTP
    trust = {"context": case.ssl_context()}
    with make(case.host, port, timeout=case.timeout, **(trust if implicit else {})) as client:
        if not implicit:
            client.starttls(**trust)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: hello\r\n\r\nhello\r\n")


def by_port(case):
    submit(case, case.port, implicit=case.port == 465)


def chooses(case):
    try:
        submit(case, 465, implicit=True)
    except (ConnectionRefusedError, TimeoutError):
        submit(case, 587, implicit=False)


def of_smtplib(case):
    # Without a port, smtplib takes 25, and 465 for implicit TLS.
    submit(case, 0, implicit=case.security is Security.IMPLICIT)


def judged(run, *, select=None, **declared):
    client = Client(
        name="under test", run=run, protocols=(Protocol.SMTP,), declared=Declaration(timeout=1.0, **declared)
    )
    with warnings.catch_warnings():
        # A reset that arrives before Python wraps the socket leaves it to the collector: not the client's doing.
        warnings.simplefilter("ignore", ResourceWarning)
        rows = Runner([client], select=select or NETWORKS).run()
        gc.collect()
    return {row.setting.id: row for row in rows}


def verdicts(rows, rule):
    return {j.finding.verdict for row in rows.values() for j in row.judgements if j.rule == rule}


@pytest.mark.parametrize(
    ("client", "declared", "rules"),
    [
        (by_port, {"mode": "from-port"}, {"port-implies-mode"}),
        (chooses, CHOOSES, {"submission-port-not-25", "prefer-implicit-tls", "discovery-keeps-floor"}),
    ],
)
def test_an_honest_client_made_with_smtplib_breaks_nothing(client, declared, rules):
    rows = judged(client, **declared)
    flagged = {
        name: row.verdict
        for name, row in rows.items()
        if row.verdict not in (Verdict.PASS, Verdict.NOTE, Verdict.NOT_APPLICABLE)
    }
    assert flagged == {}
    assert {rule: verdicts(rows, rule) for rule in rules} == {rule: {Verdict.PASS} for rule in rules}


def test_smtplib_submits_on_25_by_default():
    rows = judged(of_smtplib, select=["port-587-default"], port="chosen")
    assert {name: row.verdict for name, row in rows.items()} == {"smtp-starttls-port-587-default": Verdict.VIOLATION}


def test_a_client_that_connects_and_leaves_has_not_waited_for_a_greeting():
    def leaves(case):
        if case.port in (465, 587):
            by_port(case)
        else:
            socket.create_connection((case.host, case.port), case.timeout).close()

    rows = judged(leaves, select=["custom-port-no-mode-plain-server"], mode="from-port")
    (row,) = rows.values()
    assert row.verdict is Verdict.INCONCLUSIVE


def test_a_client_that_only_claims_to_have_tried_has_not():
    def claims(case):
        if case.port in (465, 587):
            return by_port(case)
        raise OSError(f"{case.host}:{case.port}: connection refused")

    names = ["port-default-mode-25", "custom-port-no-mode-no-tls", "port-25-blocked-587-open"]
    rows = judged(claims, select=names, mode="from-port")
    assert {row.setting.scenario.name: row.verdict for row in rows.values()} == dict.fromkeys(
        names, Verdict.INCONCLUSIVE
    )


def test_a_client_that_reads_what_is_kept_back_is_told_so():
    rows = judged(lambda case: submit(case, case.port, implicit=case.security is Security.IMPLICIT), mode="from-port")
    assert {row.verdict for row in rows.values()} == {Verdict.ERROR}
    assert all("derive it from case.port" in row.judgements[0].finding.evidence for row in rows.values())


def test_there_is_nothing_to_judge_in_clear_where_the_port_tells_the_mode():
    for protocol in Protocol:
        assert settings_for(protocol, Security.NONE, Declaration(mode="from-port")) == ()


def test_what_is_for_clients_that_are_told_less_is_for_nobody_else():
    told = {setting.scenario.name for p in Protocol for s in Security for setting in settings_for(p, s, Declaration())}
    untold = {
        name
        for name, row in SCENARIOS.items()
        if row.needs.get("mode") == "from-port" or row.needs.get("port") == "chosen"
    }
    assert untold
    assert not told & untold


def test_trials_side_by_side_see_their_own_attempts_only(mailauth_factory):
    (setting,) = (
        setting
        for setting in settings_for(Protocol.SMTP, Security.STARTTLS, Declaration(**CHOOSES))
        if setting.scenario.name == "port-587-default"
    )
    together = threading.Barrier(3)

    def meets_the_others(case):
        together.wait(10)
        with pytest.raises(OSError, match="not known"):
            socket.create_connection(("gone." + case.host, 25), 1)
        chooses(case)

    trials = []

    def run():
        client = Client(
            name="under test",
            run=meets_the_others,
            protocols=(Protocol.SMTP,),
            declared=Declaration(timeout=5.0, **CHOOSES),
        )
        trials.append(run_trial(mailauth_factory, client, setting))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [trial.outcome.error for trial in trials] == [None] * 3
    assert len({trial.served.host for trial in trials}) == 3
    for trial in trials:
        assert [(one.name, one.port) for one in trial.attempts] == [
            (f"gone.{trial.served.host}", 25),
            (trial.served.host, 465),
        ]


# What is found by guessing.

GUESSES = CHOOSES | {"discovers": "guess"}


def guesses(case, context):
    failure = None
    for host in (f"smtp.{case.domain}", f"mail.{case.domain}"):
        for port in (465, 587):
            try:
                implicit = port == 465
                trust = {"context": context}
                make = smtplib.SMTP_SSL if implicit else smtplib.SMTP
                with make(host, port, timeout=case.timeout, **(trust if implicit else {})) as client:
                    if not implicit:
                        client.starttls(**trust)
                    client.login(case.username, case.password)
                    return
            except (socket.gaierror, ConnectionRefusedError, TimeoutError) as error:
                failure = f"{host}:{port}: {error}"
    raise OSError(failure)


def test_an_honest_client_that_guesses_breaks_nothing():
    rows = judged(lambda case: guesses(case, case.ssl_context()), **GUESSES)
    bad = {name: row for name, row in rows.items() if row.verdict in (Verdict.VIOLATION, Verdict.ERROR)}
    assert bad == {}
    assert verdicts(rows, "discovery-keeps-floor") == {Verdict.PASS}


def test_a_client_that_trusts_whatever_it_guesses_gives_its_password_to_a_decoy():
    rows = judged(lambda case: guesses(case, ssl._create_unverified_context()), select=["guess-hosts"], **GUESSES)
    assert {row.verdict for row in rows.values()} == {Verdict.VIOLATION}
    assert all("decoy" in row.judgements[0].finding.evidence for row in rows.values())


# What is read in a file.

FILES = CHOOSES | {"discovers": "autoconfig"}
PLACES = ("autoconfig.{}/mail/config-v1.1.xml", "{}/.well-known/autoconfig/mail/config-v1.1.xml")
SOCKET_TYPES = {"SSL": 465, "STARTTLS": 587}


def read(case, *, schemes=("https",), verifies=True, answers=False):
    context = case.ssl_context() if verifies else ssl._create_unverified_context()
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    fields = {}
    failure = None
    for url in (f"{scheme}://{place.format(case.domain)}" for scheme in schemes for place in PLACES):
        asked = urllib.request.Request(url, headers=fields)  # noqa: S310 - it is one of those above
        try:
            with urllib.request.build_opener(*handlers).open(asked, timeout=case.timeout) as file:
                return ET.fromstring(file.read()).find(".//outgoingServer")  # noqa: S314 - that of the test
        except urllib.error.HTTPError as error:
            error.close()
            failure = error
            if answers:  # at the next place
                given = base64.b64encode(f"{case.username}:{case.password}".encode()).decode()
                fields = {"Authorization": f"Basic {given}"}
        except OSError as error:
            failure = error
    raise OSError(f"no configuration: {failure}")


def by_file(case, *, asks_about_strangers=True, takes_plain=False, **ways):
    server = read(case, **ways)
    host, port, kind = server.findtext("hostname"), int(server.findtext("port")), server.findtext("socketType")
    if asks_about_strangers and not host.endswith(f".{case.domain}"):
        raise ValueError(f"{case.domain} names {host}")
    if not takes_plain and SOCKET_TYPES.get(kind) != port:
        raise ValueError(f"{case.domain} wants no TLS with {host}:{port}")
    make = smtplib.SMTP_SSL if kind == "SSL" else smtplib.SMTP
    trust = {"context": case.ssl_context()}
    with make(host, port, timeout=case.timeout, **(trust if kind == "SSL" else {})) as client:
        if kind == "STARTTLS":
            client.starttls(**trust)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: hello\r\n\r\nhello\r\n")


def test_an_honest_client_that_reads_the_file_breaks_nothing():
    rows = judged(by_file, **FILES)
    bad = {name: row for name, row in rows.items() if row.verdict in (Verdict.VIOLATION, Verdict.ERROR)}
    assert bad == {}
    assert verdicts(rows, "discovery-keeps-floor") == {Verdict.PASS}


@pytest.mark.parametrize(
    ("ways", "scenario"),
    [
        ({"schemes": ("http",)}, "autoconfig-over-http"),
        ({"schemes": ("https", "http")}, "autoconfig-over-http"),
        ({"takes_plain": True}, "autoconfig-plain-sockettype"),
        ({"asks_about_strangers": False}, "autoconfig-host-of-other-domain"),
        ({"verifies": False, "answers": True}, "autoconfig-http-auth-prompt"),
        ({"schemes": ("https", "http"), "answers": True}, "autoconfig-http-auth-prompt"),
    ],
)
def test_a_careless_client_that_reads_the_file_is_found_out(ways, scenario):
    rows = judged(lambda case: by_file(case, **ways), select=[scenario], **FILES)
    assert {row.verdict for row in rows.values()} == {Verdict.VIOLATION}
    assert {j.rule for row in rows.values() for j in row.judgements} == {"discovery-keeps-floor"}


def test_asking_over_http_is_no_fault_when_nothing_is_made_of_it():
    def looks(case):
        try:
            by_file(case)
        except OSError:
            with contextlib.suppress(OSError):
                read(case, schemes=("http",))
            raise

    rows = judged(looks, select=["autoconfig-over-http", "autoconfig-http-auth-prompt"], **FILES)
    assert {row.verdict for row in rows.values()} == {Verdict.PASS}


def test_a_client_that_guesses_and_reads_no_file_shows_nothing():
    def knows(case):
        return guesses(case, case.ssl_context())

    rows = judged(knows, select=["autoconfig-over-http"], **FILES)
    assert {row.verdict for row in rows.values()} == {Verdict.INCONCLUSIVE}


# What the records say for the next connection.

SRV = CHOOSES | {"discovers": "srv"}


def records(case):
    resolver = dns.resolver.Resolver(configure=False)
    host, resolver.port = case.nameserver
    resolver.nameservers = [host]
    for service, implicit in (("_submissions._tcp", True), ("_submission._tcp", False)):
        with contextlib.suppress(dns.resolver.NXDOMAIN):
            (record,) = resolver.resolve(f"{service}.{case.domain}", "SRV")
            return str(record.target).rstrip("."), record.port, implicit
    raise OSError(f"{case.domain} names no server")


def deliver(case, host, port, implicit):
    if not host.endswith(f".{case.domain}"):
        raise ValueError(f"{case.domain} names {host}")
    trust = {"context": case.ssl_context()}
    make = smtplib.SMTP_SSL if implicit else smtplib.SMTP
    with make(host, port, timeout=case.timeout, **(trust if implicit else {})) as client:
        if not implicit:
            client.starttls(**trust)
        client.login(case.username, case.password)
        client.sendmail(case.sender, [case.recipient], "Subject: hello\r\n\r\nhello\r\n")


def saves(case):
    found = None
    for transfer in filter(None, (case.earlier, case)):
        found = found or records(transfer)
        deliver(transfer, *found)


def asks_each_time(case):
    for transfer in filter(None, (case.earlier, case)):
        deliver(transfer, *records(transfer))


def transfers_once(case):
    deliver(case, *records(case))


def claims_to_have_transferred(case):
    assert case.earlier is None or case.earlier.domain == case.domain
    deliver(case, *records(case))


@pytest.mark.parametrize(
    ("client", "verdict"),
    [
        (saves, Verdict.PASS),
        (asks_each_time, Verdict.VIOLATION),
        (transfers_once, Verdict.NOT_APPLICABLE),
        (claims_to_have_transferred, Verdict.INCONCLUSIVE),
    ],
)
def test_what_was_found_is_kept(client, verdict):
    rows = judged(client, select=["srv-every-connection"], **SRV)
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(
        ("smtp-starttls-srv-every-connection", "smtp-implicit-srv-every-connection"), verdict
    )


def test_discovery_is_for_clients_that_are_told_nothing_else():
    with pytest.raises(ConfigError, match="declare mode='from-port' and port='chosen' too"):
        Declaration(discovers="guess")


# Programs outside this process.


def outside(tmp_path, **declared):
    program = tmp_path / "client.py"
    program.write_text("import sys; sys.exit('not run in these tests')")
    return command_client(
        (sys.executable, str(program), "{host}"),
        Protocol.SMTP,
        (Security.STARTTLS,),
        Declaration(timeout=1.0, **declared),
    )


def test_a_program_that_is_told_no_mode_is_not_judged_here(tmp_path):
    runner = Runner([outside(tmp_path, mode="from-port")])
    rows = runner.run()
    assert [(row.setting.scenario.name, row.verdict) for row in rows] == [("base-starttls-ok", Verdict.NOT_APPLICABLE)]
    assert rows[0].judgements[0].finding.evidence == OUT_OF_REACH
    (report,) = digest(runner.groups)
    assert report.counts == {Verdict.NOT_APPLICABLE: 1}


def test_a_program_that_reads_a_file_is_not_judged_in_a_network_either(tmp_path):
    rows = Runner([outside(tmp_path, **FILES).in_network]).run()
    assert [(row.setting.scenario.name, row.verdict) for row in rows] == [("base-starttls-ok", Verdict.NOT_APPLICABLE)]
    assert rows[0].judgements[0].finding.evidence == NO_WEB


def test_a_program_meets_the_other_port_at_localhost(tmp_path):
    client = outside(tmp_path)
    (setting,) = (
        setting
        for setting in settings_for(Protocol.SMTP, Security.STARTTLS, client.declared)
        if setting.scenario.name == "port-587-blocked-25-clear"
    )
    group = Runner([client]).groups[0]
    assert not group.is_out_of_reach(setting)
    assert group.is_out_of_reach(next(s for s in group.settings if s.scenario.name == "dns-name-unresolvable"))
