"""What is seen while clients run: a bar on a terminal, one plain line anywhere else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

LABEL_WIDTH = 44


class ProgressDisplay(AbstractContextManager["ProgressDisplay"]):
    """Shows how many trials are done. Call it as the runner's progress function.

    Args:
        console: Where to show it. Without a terminal there is one line at the beginning and no control code.
        clients: How many clients are run.
    """

    def __init__(self, console: Console, clients: int) -> None:
        self._console = console
        self._clients = f"{clients} client{'s' if clients > 1 else ''}"
        self._begun = False
        self._bar = Progress(
            TextColumn("judging"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._task = self._bar.add_task("starting", total=None)
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, done: int, total: int, label: str) -> None:
        """Show that *done* of *total* trials are done, the last of them *label*."""
        if not self._begun and not self._console.is_terminal:
            self._console.print(f"judging {self._clients} in {total} trials ...", highlight=False)
        self._begun = True
        self._bar.update(self._task, completed=done, total=total, description=label[:LABEL_WIDTH])
