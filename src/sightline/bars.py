"""Progress bars in a notebook: HTML that is drawn again in its place, so that no widgets need be installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from time import monotonic
from typing import Any

WAIT, EVERY = 0.5, 0.2
"""Seconds before a bar is shown, and between two drawings of it."""


class Bar:
    """One bar; it is shown once its work has taken `WAIT`, and stays with what was done.

    Args: as for `sightline.console.progress`.
    """

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.unit, self.state = title, unit, (0, total)
        self.began = monotonic()
        self._next = self.began + WAIT
        self._handle: Any = None

    def step(self, done: int, total: int | None) -> None:
        """Note how much is done, and of how much."""
        self.state = (done, total)
        if monotonic() >= self._next:
            self._next = monotonic() + EVERY
            self.draw()

    def draw(self) -> None:
        """Show the bar, in the place of the last drawing."""
        from IPython.display import HTML, display

        page = HTML(self.html(monotonic() - self.began))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(page, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(page)

    def html(self, seconds: float) -> str:
        """The bar after so many seconds."""
        done, total = self.state
        counts = " of ".join(self._count(one) for one in (done, total) if one is not None)
        left = seconds * (total - done) / done if total and done else 0
        told = f"{self.title} {counts}, {seconds:.0f} s" + (f", {left:.0f} s to go" if left >= 1 else "")
        value = f' value="{done}" max="{total}"' if total else ""
        return f'<div style="font-size:90%;opacity:.75"><progress{value}></progress> {escape(told)}</div>'

    def _count(self, number: int) -> str:
        return f"{number / 1e6:,.1f} MB" if self.unit == "bytes" else f"{number:,}"

    def close(self) -> None:
        """Show how it ended, where it was shown at all."""
        if self._handle is not None:
            self.draw()


@contextmanager
def bar(title: str, total: int | None, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for the length of the block; yields its `step`."""
    one = Bar(title, total, unit)
    try:
        yield one.step
    finally:
        one.close()
