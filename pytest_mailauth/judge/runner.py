"""Clients times scenarios: controls first and last, everything that waits side by side, and what is known on Ctrl-C.

What has proved nothing is run once more at the end, when less runs beside it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pytest_mailauth.judge.group import Group
from pytest_mailauth.judge.ruleset import EVERYTHING
from pytest_mailauth.judge.scenarios import Setting, baseline, settings_for
from pytest_mailauth.judge.trialrun import run_trial
from pytest_mailauth.judge.verdict import Result, honest
from pytest_mailauth.model.errors import MailAuthError
from pytest_mailauth.model.terms import Verdict
from pytest_mailauth.servers.environment import MailServers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_mailauth.judge.clients.client import Client
    from pytest_mailauth.judge.ruleset import RuleSet
    from pytest_mailauth.model.trial import Trial

BUSY_AT_ONCE: Final = 4
"""Trials that compute at the same time; more would only take each other's processor."""
WAITING_AT_ONCE: Final = 96
"""Trials that wait for a client's time-out at the same time."""

Progress = Callable[[int, int, str], None]
"""Told how many trials are done, how many there are, and what was done last."""


@dataclass(frozen=True)
class _Job:
    label: str
    work: Callable[[], None]
    waits: bool = False


class Runner:
    """Runs clients through scenarios.

    Args:
        clients: The clients under test.
        progress: Called after each trial, in the thread that called :meth:`run`.
        select: Names of scenarios to run; None for all.
        ruleset: What of them is asked; everything by default.
        servers: Whose thread and authority to use; None for servers of its own, closed at the end.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        *,
        progress: Progress | None = None,
        select: Iterable[str] | None = None,
        ruleset: RuleSet = EVERYTHING,
        servers: MailServers | None = None,
    ) -> None:
        self._progress = progress
        self._own = servers is None
        self._servers = servers or MailServers()
        chosen = None if select is None else frozenset(select)
        self.groups = [
            Group(client, protocol, security, _chosen(settings, chosen, ruleset), ruleset)
            for client in clients
            for protocol in client.protocols
            for security in client.securities
            if (settings := settings_for(protocol, security, client.declared))
        ]
        self.interrupted = False
        """True when Ctrl-C ended the run early."""

    def run(self) -> tuple[Result, ...]:
        """Run everything and return the rows; after Ctrl-C, the rows known so far."""
        done = 0
        reached = [group for group in self.groups if not group.never_meets_a_server]
        total = 2 * len(reached) + sum(len(self._trials(group, group.settings)) for group in reached)
        try:
            for phase in (self._controls, self._everything, self._once_more, self._closing_controls):
                jobs = phase()
                total += len(jobs) if phase == self._once_more else 0
                for finished in _in_parallel(jobs):
                    done += 1
                    if self._progress is not None:
                        self._progress(done, total, finished.label)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            # Before the servers close: a client that is cut off by that would look as if it had left.
            results = self.results
            if self._own:
                self._servers.close()
        return results

    @property
    def results(self) -> tuple[Result, ...]:
        """One row for each client and scenario that was judged."""
        return tuple(row for group in self.groups for row in group.results)

    def _controls(self) -> list[_Job]:
        return [
            _Job(_label(group, "control"), partial(self._control, group))
            for group in self.groups
            if not group.never_meets_a_server
        ]

    def _control(self, group: Group) -> None:
        setting = baseline(group.protocol, group.security)
        try:
            group.control = run_trial(self._servers, group.client, setting)
        except MailAuthError as error:
            group.failure = str(error)

    def _closing_controls(self) -> list[_Job]:
        def again(group: Group) -> None:
            for _ in range(2):  # a busy machine is not the client's fault
                group.again = run_trial(self._servers, group.client, baseline(group.protocol, group.security))
                if honest(group.again).verdict is Verdict.PASS:
                    return

        return [
            _Job(_label(group, "closing control"), partial(again, group))
            for group in self.groups
            if group.unusable is None
        ]

    def _everything(self) -> list[_Job]:
        return [job for group in self.groups for job in self._trials(group, group.to_run)]

    def _once_more(self) -> list[_Job]:
        return [job for group in self.groups for job in self._trials(group, group.undecided, again=True)]

    def _trials(self, group: Group, settings: tuple[Setting, ...], *, again: bool = False) -> list[_Job]:
        book = group.second if again else group.first
        jobs: list[_Job] = [] if again else self._others(group, settings)
        for setting in settings:
            scenario = setting.scenario
            if group.compares(setting):

                def compare(setting: Setting = setting) -> None:
                    try:
                        book.comparisons[setting.id] = self._trial(group, setting, compare=True)
                    except MailAuthError as failure:
                        book.runs[setting.id].insert(0, failure)

                jobs.append(_Job(_label(group, f"{scenario.name} (control)"), compare, group.waits(setting)))

            def once(setting: Setting = setting) -> None:
                try:
                    book.runs[setting.id].append(self._trial(group, setting))
                except MailAuthError as failure:
                    book.runs[setting.id].append(failure)

            jobs += [_Job(_label(group, scenario.name), once, group.waits(setting))] * scenario.repeat
        return jobs

    def _others(self, group: Group, settings: tuple[Setting, ...]) -> list[_Job]:
        """Return the runs of scenarios that others are compared with and that were not asked for, each once."""
        wanted = [other for setting in settings if (other := group.compared(setting)) is not None]
        jobs = []
        for other in dict.fromkeys(wanted):
            if other in settings:
                continue

            def once(other: Setting = other) -> None:
                try:
                    group.first.comparisons[other.id] = self._trial(group, other)
                except MailAuthError as failure:
                    group.first.runs[other.id].append(failure)

            jobs.append(_Job(_label(group, f"{other.scenario.name} (to compare with)"), once, group.waits(other)))
        return jobs

    def _trial(self, group: Group, setting: Setting, *, compare: bool = False) -> Trial:
        usual = group.control.outcome.seconds if group.control else 0.0
        relaxed = compare and setting.scenario.host_may_decide
        return run_trial(
            self._servers, group.client, setting, control=compare and not relaxed, relaxed=relaxed, slowdown=usual
        )


def _chosen(settings: tuple[Setting, ...], names: frozenset[str] | None, ruleset: RuleSet) -> tuple[Setting, ...]:
    had = tuple(setting for setting in settings if ruleset.has(setting.scenario))
    return had if names is None else tuple(s for s in had if s.scenario.name in names)


def _label(group: Group, what: str) -> str:
    return f"{group.client.name} {group.protocol} {group.security}: {what}"


def _in_parallel(jobs: list[_Job]) -> Iterable[_Job]:
    """Run the jobs in daemon threads and yield each as it is done; an error in one is raised here."""
    finished: queue.SimpleQueue[tuple[_Job, BaseException | None]] = queue.SimpleQueue()
    lanes = ((True, WAITING_AT_ONCE), (False, BUSY_AT_ONCE))
    for waits, width in lanes:
        waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        mine = [job for job in jobs if job.waits is waits]
        for job in mine:
            waiting.put(job)
        for _ in range(min(width, len(mine))):
            threading.Thread(target=_work, args=(waiting, finished), name="mailauth trial", daemon=True).start()
    for _ in jobs:
        job, error = finished.get()
        if error is not None:
            raise error
        yield job


def _work(waiting: queue.SimpleQueue[_Job], finished: queue.SimpleQueue[tuple[_Job, BaseException | None]]) -> None:
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            job.work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            finished.put((job, error))
        else:
            finished.put((job, None))
