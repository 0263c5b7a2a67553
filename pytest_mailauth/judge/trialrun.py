"""One trial from end to end: start the servers, run the client, see that it ends, and freeze what was observed."""

from __future__ import annotations

import threading
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pytest_mailauth.judge.clients.case import PRINTED, Case
from pytest_mailauth.judge.clients.client import in_process
from pytest_mailauth.judge.overheard import OURS, Ear
from pytest_mailauth.judge.scenarios.plan import plan_for
from pytest_mailauth.judge.stage import at_localhost, in_network
from pytest_mailauth.judge.work import work_told
from pytest_mailauth.model.canary import Account, redact
from pytest_mailauth.model.diagnosis import diagnose
from pytest_mailauth.model.reports import WORK
from pytest_mailauth.model.transcript import hidden_values
from pytest_mailauth.model.trial import Outcome, Trial
from pytest_mailauth.servers.mailstore import INBOX
from pytest_mailauth.servers.wire.supply import Supply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_mailauth.judge.clients.client import Client, Reach
    from pytest_mailauth.judge.scenarios import Setting
    from pytest_mailauth.model.causes.cause import Diagnosis
    from pytest_mailauth.model.record import SessionRecord
    from pytest_mailauth.model.trial import Declaration, Earlier
    from pytest_mailauth.servers.environment import MailServers

SLACK: Final = 1.0
"""Seconds added to every limit, for a busy machine."""
GRACE: Final = 6.0
"""Seconds a client may take to notice that it was cut off: a connection attempt notices at its next retry."""
DRAIN: Final = 0.5
"""Seconds that connections may outlive a client that has ended, before they are cut."""
LINGER: Final = 0.5
"""Seconds that a client's threads may outlive it, before the ports close: one may be trying again in clear."""
_NOT_ITS_OWN: Final = (*OURS, "asyncio_", "Dummy-")
"""How the names of threads begin that no client leaves behind: ours, an event loop's helpers (they end with the loop,
and may be another trial's), and those that Python knows of only by chance and cannot wait for."""


class TrialRun:
    """A trial whose servers are up and whose client has not run yet.

    Args:
        servers: Whose thread and certificate authority to use; accounts and messages are made for this trial.
        declared: What the client is declared to do.
        setting: The scenario for one protocol and mode.
        control: Set up the scenario's control instead.
        slowdown: Seconds the client took on the honest server; they lengthen the limit.
        reach: How the client meets names and real port numbers, where the trial has them; None where it cannot.
        by_name: Whether every trial has them.

    Attributes:
        case: What the client is given.
        environment: The servers, with the account made for this trial.
        limit: Seconds after which the client has to be stopped.

    Raises:
        CannotServe: This host cannot serve what the scenario needs.
    """

    def __init__(
        self,
        servers: MailServers,
        declared: Declaration,
        setting: Setting,
        *,
        control: bool = False,
        slowdown: float = 0.0,
        reach: Reach | None = in_process,
        by_name: bool = False,
    ) -> None:
        self._declared = declared
        self._setting = setting
        self.environment = environment = servers.environment()
        self._threads = frozenset(threading.enumerate())
        for message in setting.scenario.inbox:
            environment.store.mailboxes(environment.account)[INBOX].add(message)
        self.limit = declared.timeout * setting.scenario.patience + SLACK + 2 * slowdown
        config = setting.scenario.config(setting.protocol, setting.security, declared.timeout, control=control)
        # A scenario that is about tokens says by itself what is taken beside them.
        if declared.auth == "oauth" and not (setting.scenario.auth and "auth" in setting.scenario.settings):
            config = replace(config, auth=config.auth.for_tokens())
        plan = plan_for(setting.scenario.network, declared, reachable=reach is not None, by_name=by_name)
        try:
            self._stage = stage = (
                at_localhost(environment, config, setting)
                if plan is None or reach is None
                else in_network(environment, config, setting, declared=declared, plan=plan, reach=reach)
            )
        except BaseException:
            environment.close()
            raise
        self._supply = Supply(stage.address, declared.timeout)
        host = stage.elsewhere or stage.host
        known: dict[str, Any] = {"security": setting.security, "host": host, "port": stage.ports[0]}
        told = known | dict.fromkeys(declared.untold)
        case = Case(
            protocol=setting.protocol,
            **told,
            username=environment.account.username,
            password=environment.account.password,
            token=environment.account.token,
            cafile=environment.ca.cafile,
            timeout=declared.timeout,
            other_port=stage.other_port,
            discovers=declared.discovers,
            domain=stage.domain if declared.discovers != "no" else None,
            nameserver=stage.nameserver,
            supply=self._supply if setting.scenario.supplied else None,
            enter=stage.enter,
            wants=setting.scenario.wants,
            work=self._work(setting.scenario.tells),
        )
        plain = {name: told for name, told in setting.scenario.tells.items() if name not in WORK}
        case = replace(case, **told, **plain) if plain else case
        earlier = setting.scenario.earlier
        self.case = case if earlier is None else replace(case, **told, before=self._earlier(case, earlier, told))
        self._started = monotonic()  # from here on the time is the client's: what it is to meet has been set up

    def _work(self, tells: Mapping[str, Any]) -> dict[str, Any]:
        return work_told(self.environment, self._stage, tells)

    def _earlier(self, case: Case, terms: Earlier, told: dict[str, Any]) -> Case:
        """Return the transfer that comes before that of *case*, with facts of its own."""
        account = self.environment.account
        if terms.other_account:
            account = Account.fresh("carol@example.test")
            self.environment.store.accounts.append(account)
        return replace(
            case,
            **told
            | ({"security": terms.security} if terms.security else {})
            | ({"host": self._stage.host} if terms.other_host else {}),
            verify=terms.verify,
            username=account.username,
            password=account.password,
            token=Account.fresh().token if terms.other_token else account.token,
            facts={},
            work=dict(case.work) | (self._work({"pinned": terms.pinned}) if terms.pinned else {}),
        )

    @property
    def _told_of_work(self) -> tuple[str, ...]:
        """What there was to read of the work, in either transfer."""
        return tuple({**self.case.work, **(self.case.before.work if self.case.before else {})})

    def cut_from_loop(self) -> None:
        """Cut the client off: it has outlasted its limit. Call it on the loop."""
        for server in self.environment.servers:
            server.cut()

    def cut(self) -> None:
        """Cut the client off, from any other thread."""
        self.environment.loop.call(self.cut_from_loop)

    def finish(
        self, error: BaseException | None, *, hung: bool, may_switch: bool = False, ear: Ear | None = None
    ) -> Trial:
        """Close everything and return what was observed.

        Args:
            error: What the client raised, or None.
            hung: Whether the client had to be cut off.
            may_switch: Whether the client was declared to know another port.
            ear: What was overheard of a client of this process.

        Raises:
            ServerFault: A fake server failed inside.
        """
        seconds = monotonic() - self._started
        environment = self.environment
        try:
            if not hung:
                _let_finish(self._threads)
            self._supply.close()
            self._stage.close()
            for server in environment.servers:
                server.drain(DRAIN)
        finally:
            self._stage.close()
            environment.close()
        environment.raise_faults()
        sessions = tuple(session for server in environment.servers for session in server.sessions)
        hidden = hidden_values(environment.store.accounts)
        raised = None if error is None else f"{type(error).__name__}: {error}"
        said = None if raised is None else redact(raised, hidden)
        facts = {**self.case.facts, **(self.case.before.facts if self.case.before else {})}
        printed = facts.pop(PRINTED, "") + "".join(ear.printed if ear else ())
        logged = "\n".join(ear.logged if ear else ())
        words = {"raised": raised or "", "printed": printed, "logged": logged, "reported": "\n".join(_texts(facts))}
        leaky = {how: text for how, text in words.items() if redact(text, hidden) != text}
        own = {how: text for how, text in leaky.items() if _holds_more(text, sessions, hidden)}
        return Trial(
            protocol=self._setting.protocol,
            security=self._setting.security,
            declared=self._declared,
            served=self._stage.config,
            account=environment.account,
            sessions=sessions,
            outcome=Outcome(
                error=said,
                hung=hung,
                seconds=seconds,
                facts=_redacted(facts, hidden),
                disclosed=tuple(own),
                passed_on=tuple(how for how in leaky if how not in own),
            ),
            may_switch=may_switch or self.case.asked_for_fallback,
            ports=self._stage.ports,
            attempts=self._stage.attempts,
            in_network=self._stage.network is not None,
            domain=self._stage.domain,
            supplied=self._setting.scenario.supplied and self.case.asked_for_connection,
            earlier=self._setting.scenario.earlier if self.case.asked_for_earlier else None,
            requests=self._stage.requests,
            moved_to=self._stage.moved_to,
            tells=self._setting.scenario.tells,
            unheard=tuple(name for name in self._told_of_work if name not in self.case.heard),
            wants=self._setting.scenario.wants,
            marker=self._setting.scenario.marker,
            decoy=self._stage.decoy,
        )


def _let_finish(before: frozenset[threading.Thread]) -> None:
    """Wait for the threads that a client left behind, for at most :data:`LINGER` seconds; nothing when there are none.

    Side by side, threads of another trial's client cannot be told from this one's; waiting for them is only time. To
    hold every port for 0.3 s after a failure would catch little more and make the README's first command take 18 s in
    place of 3.4.
    """
    deadline = monotonic() + LINGER
    while (rest := deadline - monotonic()) > 0:
        left = (t for t in threading.enumerate() if t not in before and t.is_alive())
        mine = next((t for t in left if not t.name.startswith(_NOT_ITS_OWN)), None)
        if mine is None:
            return
        mine.join(rest)


def let_go(error: BaseException) -> None:
    """Drop what a client's frames hold: a connection that it left open ends when nobody knows it any more."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in what a client reported, at any depth of lists and dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _texts(item)


def _holds_more(text: str, sessions: tuple[SessionRecord, ...], hidden: tuple[tuple[str, str], ...]) -> bool:
    """Return whether a secret is left in *text* without the words of the server: the end of a line of two or more."""
    said = b"".join(session.clear_out + session.tls_out for session in sessions).decode("utf-8", "replace")
    for words in (line.split() for line in said.splitlines()):
        for start in range(len(words) - 1):
            text = text.replace(" ".join(words[start:]), "")
    return redact(text, hidden) != text


def _redacted(value: Any, hidden: tuple[tuple[str, str], ...]) -> Any:
    """Return what a client reported without its secrets: text at any depth of lists and dictionaries."""
    if isinstance(value, str):
        return redact(value, hidden)
    if isinstance(value, dict):
        return {_redacted(key, hidden): _redacted(item, hidden) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_redacted(item, hidden) for item in value)
    return value


def run_trial(
    servers: MailServers,
    client: Client,
    setting: Setting,
    *,
    control: bool = False,
    relaxed: bool = False,
    slowdown: float = 0.0,
) -> Trial:
    """Run *client* once in *setting* and return what was observed. See :class:`TrialRun` for the arguments.

    With *relaxed*, the client runs with this host's own TLS policy relaxed.

    Raises:
        CannotServe: This host cannot serve what the scenario needs.
        ServerFault: A fake server failed inside.
    """
    way: dict[str, Any] = {"reach": client.reach, "by_name": client.by_name}
    run = TrialRun(servers, client.declared, setting, control=control, slowdown=slowdown, **way)
    ended: list[BaseException | None] = []
    ears: list[Ear] = []

    def call() -> None:
        ears.append(Ear())
        try:
            (client.relaxed if relaxed and client.relaxed else client.run)(run.case)
        except BaseException as error:  # noqa: BLE001 - whatever the client raises is its outcome
            let_go(error)
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=call, name=f"mailauth client {client.name}", daemon=True)
    thread.start()
    thread.join(run.limit)
    hung = thread.is_alive()
    if hung:
        run.cut()
        if client.stop is not None:
            client.stop(run.case)
        thread.join(GRACE)
    for ear in ears:  # here and not in the thread, which may never end
        ear.close()
    return run.finish(
        ended[0] if ended else None, hung=hung, may_switch=client.may_switch, ear=ears[0] if ears else None
    )


def diagnosis_of(trial: Trial) -> tuple[Diagnosis, ...]:
    """Return what went wrong in a trial, most telling first."""
    return diagnose(trial.sessions, attempts=trial.attempts, served=trial.served)


def describe(trial: Trial) -> str:
    """Return the transcripts of a trial, one after another, with a heading for each connection."""
    asked = [f"asked for its configuration: {request}" for request in trial.requests]
    if not trial.sessions:
        return "\n".join(asked) or "(the client opened no connection that this server could see)"
    lines = ["\n".join(asked)] if asked else []
    lines += [
        f"connection {session.number} to the {session.listener} port ({session.protocol}, {session.security})\n"
        f"{session.transcript()}"
        for session in trial.sessions
    ]
    return "\n\n".join(lines)
