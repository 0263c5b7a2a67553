"""The command ``mailauth``: options in, a report out. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from pytest_mailauth.interruption import Interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_mailauth.judge.clients.client import Client
    from pytest_mailauth.judge.runner import Runner
    from pytest_mailauth.model.errors import MailAuthError
    from pytest_mailauth.model.trial import Declaration

_INTERRUPTION: Final = "pytest_mailauth.interruption"
_CHECK_EPILOG = """\b
Clients of this Python and of this system, by name:
  mailauth check smtplib poplib imaplib
  mailauth check smtplib:verifying --security implicit -v
  mailauth check aiosmtplib IMAPClient curl      (when installed)

\b
Any other program, after two dashes:
  mailauth check --protocol smtp -- curl --url {url} --ssl-reqd
      --user {username}:{password} --cacert {cafile} --mail-from {sender}
      --mail-rcpt {recipient} --upload-file message.txt
  mailauth check --protocol imap --security implicit -- ./my-client

\b
It has to connect, log in, do one thing (send a message, open a mailbox) and
end, within its time-out of 2 seconds (--declare timeout=SECONDS). It is told
where and how by these words in its arguments, and by environment variables
of the same names, MAILAUTH_HOST and so on:
  {host} {port} {url}        the server; {url} is such as smtps://localhost:465
  {security}                 starttls, implicit or none
  {username} {password}      the account; {token} is a bearer token
  {cafile}                   the only certificate authority to trust (PEM)
  {sender} {recipient}       of the message to send
  {timeout}                  in seconds
  {fallback_port}            another port of the account, 0 if there is none
  {domain}                   of the account, with discovers=srv or guess
  {by_default}               yes where no TLS setting is to be made, else no
  {pinned}                   SHA-256 of a certificate to accept as it is, or ""
  {sts_policy} {tlsa}        what an MTA honours: policy file, TLSA records
  {requires_tls}             yes where its message is marked REQUIRETLS, else no

\b
With --network, {host} is a name such as mail.trial-7.example.test, and {port}
the real one: 587 or 465, 110 or 995, 143 or 993. A program in a network of its
own meets nothing else, and every scenario about names and ports is run.

\b
What can be declared, the default first:
  starttls=required|opportunistic  verify=full|none     min_tls=1.2|1.0|1.1|1.3
  allow_insecure_auth=no|yes       auth=password|oauth|none
  fallback=none|other-port         mechanism_downgrade=yes|no
  channel_binding=no|yes           auth_retries=1 (after a refusal)
  timeout=2 (seconds)              mode=stated|from-port  port=given|chosen
  discovers=no|srv|guess|autoconfig  role=mua|mta (auth=none)
  mta_policy=no|mta-sts|dane|requiretls

\b
Exit status: 0 no rule was broken, 1 a rule was broken, 2 wrong usage,
3 a client could not be run or did not log in to the honest server,
130 interrupted, 143 terminated, 129 hung up on. INCONCLUSIVE cases count
neither way.
"""


class _WithProgram(click.Command):
    """A command whose line may end in ``-- PROGRAM ARGUMENTS``, which click must not touch."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["program"] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


def _ends_well(command: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """Turn what a command returns or raises into an exit status."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> NoReturn:
        from pytest_mailauth.model.errors import ConfigError, MailAuthError

        with Interruption() as interruption:
            click.get_current_context().meta[_INTERRUPTION] = interruption
            try:
                status = command(*args, **options) or 0
            except ConfigError as error:
                raise click.UsageError(str(error)) from error
            except MailAuthError as error:
                click.echo(f"Error: {error}", err=True)
                status = 3
            except KeyboardInterrupt:
                click.echo("Interrupted before anything was known.", err=True)
                status = 128 + interruption.number
            except BrokenPipeError:  # whoever reads a list has read enough of it
                status = 0
        _let_go_of_stdout()
        sys.exit(status)

    return run


def _let_go_of_stdout() -> None:
    """Flush standard output, or what is left for nobody would be an error when the interpreter ends."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pytest-mailauth", prog_name="mailauth")
def main() -> None:
    """Judge mail clients: do they use TLS and passwords as the standards demand?

    'mailauth check smtplib poplib imaplib' judges the mail clients of this Python.
    """


@main.command(cls=_WithProgram, epilog=_CHECK_EPILOG)
@click.argument("clients", nargs=-1, metavar="[CLIENT]... | -- PROGRAM [ARGUMENT]...")
@click.option("--protocol", type=click.Choice(["smtp", "pop3", "imap"]), help="The protocol that the program speaks.")
@click.option(
    "--security",
    multiple=True,
    type=click.Choice(["starttls", "implicit", "none"]),
    help="A mode to judge it in; may be given again. Default: starttls and implicit.",
)
@click.option(
    "--declare",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the client means to do, such as verify=none or timeout=5; decides what counts. May be given again.",
)
@click.option(
    "--network",
    is_flag=True,
    help="Run programs in a network of their own, with names and real port numbers (Linux).",
)
@click.option("--scenario", multiple=True, metavar="NAME", help="Run only this scenario; may be given again.")
@click.option(
    "--profile",
    metavar="PROFILE",
    help="How much is asked: core (default), full, extended, and strict, in which a SHOULD counts; or core,strict.",
)
@click.option(
    "--rules", "version", metavar="VERSION", help="Ask the rules of this version, such as 2026.1, and no later ones."
)
@click.option(
    "--json",
    "json_file",
    metavar="FILENAME",
    help="Write the results as JSON; - for standard output.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show every case, and whole transcripts.")
@click.option("--no-color", is_flag=True, help="Show no colours.")
@click.pass_context
@_ends_well
def check(
    ctx: click.Context,
    clients: tuple[str, ...],
    *,
    protocol: str | None,
    security: tuple[str, ...],
    declare: tuple[str, ...],
    network: bool,
    scenario: tuple[str, ...],
    profile: str | None,
    version: str | None,
    json_file: str | None,
    verbose: bool,
    no_color: bool,
) -> int:
    """Run mail clients against fake servers, honest and hostile ones, and judge what they do."""
    from pytest_mailauth.judge import ruleset
    from pytest_mailauth.judge.runner import Runner
    from pytest_mailauth.model.errors import ConfigError, MailAuthError
    from pytest_mailauth.report.digest import Status, digest
    from pytest_mailauth.report.machine import Destination, document, environment
    from pytest_mailauth.report.progress import ProgressDisplay
    from pytest_mailauth.report.terminal import TerminalReport, console_for
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.wire.contexts import servable_versions

    destination = None if json_file is None else Destination(json_file)
    errors = console_for(sys.stderr, no_color=no_color)
    try:
        chosen = _clients(clients, ctx.meta.get("program"), protocol, security, _declaration(declare))
        chosen = _in_network(chosen) if network else chosen
        known = _scenarios(scenario)
        asked = ruleset.chosen(profile, version, by_name=known is not None)
        with MailServers() as servers, ProgressDisplay(errors, len(chosen)) as progress:
            runner = Runner(chosen, progress=progress, select=known, ruleset=asked, servers=servers)
            _refuse_nothing(runner, scenario)
            runner.run()
            # Before the servers close: trials that Ctrl-C left running would be cut, and seem to have ended themselves.
            reports = digest(runner.groups)
            about = environment(servable_versions(servers.ca), asked, interrupted=runner.interrupted)
    except MailAuthError as error:
        if destination is not None and not isinstance(error, ConfigError):
            destination.write(_without_results(error))
        raise
    if destination is not None:
        with contextlib.suppress(BrokenPipeError):
            destination.write(document(reports, about))
    to_stderr = destination is not None and destination.is_stdout
    console = errors if to_stderr else console_for(sys.stdout, no_color=no_color)
    interrupted = Status(128 + ctx.meta[_INTERRUPTION].number) if runner.interrupted else None
    return TerminalReport(console, asked, verbose=verbose).print(reports, interrupted=interrupted)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="List them as JSON.")
@_ends_well
def rules(*, as_json: bool) -> None:
    """List the rules that clients are judged by."""
    from pytest_mailauth.report.reference import rules_json, rules_text

    click.echo(rules_json() if as_json else rules_text(_width()), nl=not as_json)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="List them as JSON.")
@_ends_well
def scenarios(*, as_json: bool) -> None:
    """List the scenarios that clients are run in."""
    from pytest_mailauth.report.reference import scenarios_json, scenarios_text

    click.echo(scenarios_json() if as_json else scenarios_text(_width()), nl=not as_json)


@main.command()
@click.argument("name", metavar="[RULE, SCENARIO OR LAW]", required=False)
@click.option(
    "--from",
    "file",
    metavar="FILENAME",
    help="Say what went wrong in every case of a report written with --json that did not pass; - for standard input.",
)
@_ends_well
def explain(name: str | None, *, file: str | None) -> None:
    """Say what a rule or a law demands, what a scenario does, and what to do; or what went wrong in a report."""
    if (name is None) is (file is None):
        raise click.UsageError("name a rule, scenario or law, or give a report: mailauth explain --from report.json")
    if file is not None:
        from pytest_mailauth.report.reread import explain_file

        click.echo(explain_file(file, _width()))
        return
    from pytest_mailauth.report.reference import explain as explanation

    click.echo(explanation(str(name), _width()))


def _declaration(pairs: Iterable[str]) -> Declaration | None:
    """Return what was declared, or None for nothing, so that a built-in client's own declaration stands."""
    from pytest_mailauth.model.trial import Declaration

    named = dict(pair.partition("=")[::2] for pair in pairs)
    if any("=" not in pair for pair in pairs):
        raise click.UsageError("--declare takes NAME=VALUE, for example --declare verify=none")
    return Declaration.parse(named) if named else None


def _clients(
    names: tuple[str, ...],
    program: tuple[str, ...] | None,
    protocol: str | None,
    securities: tuple[str, ...],
    declared: Declaration | None,
) -> tuple[Client, ...]:
    from pytest_mailauth.judge.clients.catalogue import builtin
    from pytest_mailauth.judge.clients.command import command_client
    from pytest_mailauth.model.terms import Protocol, Security

    modes = tuple(dict.fromkeys(Security(each) for each in securities))
    if program is not None:
        if names:
            raise click.UsageError(f"name clients or give a program after --, not both: {' '.join(names)}")
        if protocol is None:
            raise click.UsageError("say what the program speaks, for example --protocol smtp")
        both = (Security.STARTTLS, Security.IMPLICIT)
        return (command_client(program, Protocol(protocol), modes or both, declared),)
    if not names:
        raise click.UsageError("name a client, for example: mailauth check smtplib (see mailauth check --help)")
    named = {name: builtin(name) for name in names}
    found = {client.name: client for clients in named.values() for client in clients}
    changes: dict[str, Any] = {"declared": declared} if declared else {}
    changes |= {"securities": modes} if modes else {}
    if protocol is not None:
        for name, clients in named.items():
            if not any(protocol in client.protocols for client in clients):
                raise click.UsageError(f"{name} does not speak {protocol}; leave it out, or leave out --protocol")
        found = {name: client for name, client in found.items() if protocol in client.protocols}
        changes["protocols"] = (Protocol(protocol),)
    return tuple(dataclasses.replace(client, **changes) for client in found.values())


def _in_network(clients: tuple[Client, ...]) -> tuple[Client, ...]:
    """Return the clients as they are run in namespaces."""
    from pytest_mailauth.model.errors import CannotServeHere
    from pytest_mailauth.network.namespace import Namespace

    if all(client.reach is not None for client in clients):
        raise click.UsageError(
            "--network is for programs outside this Python, after --; its own clients meet names and ports without it"
        )
    for how in (None, "timeout", "refused"):
        reason = Namespace.probe(how)
        if reason is not None:
            raise CannotServeHere(f"--network cannot be had here: {reason}")
    return tuple(client.in_network for client in clients)


def _scenarios(names: tuple[str, ...]) -> tuple[str, ...] | None:
    from pytest_mailauth.judge.scenarios import SCENARIOS
    from pytest_mailauth.report.reference import unknown

    for name in names:
        if name not in SCENARIOS:
            raise click.UsageError(unknown("scenario", name, tuple(SCENARIOS)))
    return names or None


def _refuse_nothing(runner: Runner, names: tuple[str, ...]) -> None:
    if not any(group.settings for group in runner.groups):
        raise click.UsageError(f"no case of {', '.join(names) or 'any scenario'} exists for these protocols and modes")


def _without_results(error: MailAuthError) -> str:
    """Return the JSON of a run that came to nothing."""
    from pytest_mailauth.report.machine import document, environment
    from pytest_mailauth.servers.environment import MailServers
    from pytest_mailauth.servers.wire.contexts import servable_versions

    with MailServers() as servers:
        return document((), environment(servable_versions(servers.ca), None, interrupted=False), str(error))


def _width() -> int:
    import shutil

    return max(min(shutil.get_terminal_size().columns, 100), 40)
