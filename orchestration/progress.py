"""Progress of a run for a person: a moving bar on a terminal, one line a step elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orchestration.runs import StepNews

__all__ = ["console", "following", "telling"]

console = Console(stderr=True, highlight=False)


@contextmanager
def following(title: str, *, has_bar: bool = True) -> Iterator[Callable[[StepNews], None]]:
    """Hand out a listener for `runs.execute`; steps that end are printed, the step at work is shown beside the bar.

    Without a bar for one of several runs at a time: their bars would paint over each other.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    begun: dict[str, float] = {}
    with Progress(*columns, console=console, transient=True, disable=not (has_bar and sys.stderr.isatty())) as bar:
        task = bar.add_task(title, total=None)

        def listen(news: StepNews) -> None:
            if news.kind == "plan":
                bar.update(task, total=int(news.name))
            elif news.kind == "start":
                begun[news.name] = time.monotonic()
                bar.update(task, description=f"{title}: {news.name}")
            elif news.kind in ("success", "failure"):
                seconds = time.monotonic() - begun.get(news.name, time.monotonic())
                mark = "[green]✓[/]" if news.kind == "success" else "[red]✗[/]"
                console.print(f"  {mark} {title}: {news.name} [dim]{seconds:.1f} s[/]")
                if news.text:
                    console.print(f"    {news.text}", markup=False)
                bar.advance(task)
            elif news.kind == "check" and news.text == "FAILED":
                console.print(f"    [red]check failed:[/] {news.name}")
            elif news.kind in ("asset", "log") and news.text:
                bar.update(task, description=f"{title}: {news.name} {news.text[:60]}")

        yield listen


def telling(tell: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """The core's progress as lines of a log, one for each tenth of the way."""
    told: dict[str, int] = {}

    def progress(what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if told.get(what) != tenth:
            told[what] = tenth
            tell(f"{what} {done}/{total}")

    return progress
