"""What is said while work goes on: lines and progress bars on stderr, so that stdout stays free for results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Item = TypeVar("Item")


@cache
def console() -> Console:
    """The one console; `console().quiet = True` silences it."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """A line for people. `[b]` and `:car:` are text, not markup and emoji: file names hold them.

    In a notebook it is plain text, which stands closer than what rich shows there.
    """
    if console().is_jupyter and not console().quiet:
        print(text)
    else:
        console().print(text, markup=False)


@contextmanager
def progress(
    title: str, total: int | None, unit: Literal["items", "bytes"] = "items"
) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar for the length of the block, where there is a terminal or a notebook to draw it in.

    Args:
        title: what is under way.
        total: steps in all; None where not known yet.
        unit: what a step is.

    Yields:
        A function to call with (steps done, steps in all or None).
    """
    if console().is_jupyter and not console().quiet:
        from sightline.bars import bar

        with bar(title, total, unit) as step:
            yield step
        return
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done = MofNCompleteColumn() if unit == "items" else DownloadColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), done, TimeRemainingColumn())
    with Progress(*columns, console=console(), disable=not console().is_terminal) as bars:
        task = bars.add_task(title, total=total)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """The items, with a progress bar."""
    with progress(title, total) as step:
        for done, item in enumerate(items, 1):
            yield item
            step(done, total)


def print_parts(*parts: RenderableType) -> None:
    """Print results to stdout, fitted to a terminal; elsewhere as wide as they are, so that nothing is cut."""
    from rich.console import Console

    out = Console(highlight=False, emoji=False)
    if not out.is_terminal:
        out = Console(highlight=False, emoji=False, width=10_000)
        out.width = max(out.measure(part).maximum for part in parts)
    for part in parts:
        out.print(part)
