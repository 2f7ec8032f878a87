"""Several ways of doing the same, in turns, so that a busy machine slows all of them; what they took, as ratios."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from record import circumstances

Seconds = Mapping[str, Sequence[float]]
"""Name of a work -> seconds a unit, one number a turn."""


@dataclass(frozen=True)
class Work:
    """Something to be timed.

    Args:
        name: as it is printed, and the key of its seconds.
        do: does it once.
        units: images or batches that `do` deals with.
        warm_up: whether it is done once before it is timed; False where another work has warmed up all it uses.
    """

    name: str
    do: Callable[[], object]
    units: int = 1
    warm_up: bool = True


def turns_wanted(about: str | None, quick: int, full: int) -> int:
    """How many turns the command line asks for: `quick` as it stands, `full` with `--full`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{full} turns instead of {quick}")
    parser.add_argument("--turns", type=int, metavar="N", help="so many turns")
    arguments = parser.parse_args()
    if arguments.turns is not None and arguments.turns < 1:
        parser.error(f"--turns is {arguments.turns}, but must be at least 1")
    return arguments.turns or (full if arguments.full else quick)


def alternate(works: Sequence[Work], turns: int) -> Seconds:
    """Do each once uncounted, then all of them in turns: first, second, …, first, second, …"""
    for work in works:
        if work.warm_up:
            work.do()
    spent: dict[str, list[float]] = {work.name: [] for work in works}
    for _ in range(turns):
        for work in works:
            began = time.perf_counter()
            work.do()
            spent[work.name].append((time.perf_counter() - began) / work.units)
    return spent


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """How many times as long the first took as the second, turn by turn."""
    return [long / short for long, short in zip(above, below, strict=True)]


def tell_seconds(spent: Seconds, unit: str) -> None:
    """A line per work: milliseconds a unit, median (smallest to largest), and units a second."""
    width = max(map(len, spent))
    for name, seconds in spent.items():
        low, middle, high = (1000 * value for value in (min(seconds), median(seconds), max(seconds)))
        span = f"{middle:10.2f} ms a{'n' if unit[0] in 'aeiou' else ''} {unit} ({low:.2f} to {high:.2f})"
        print(f"  {name:{width}}{span}, {1000 / middle:.1f} a second")


def tell_ratio(
    what: str, values: Sequence[float], *, at_least: float | None = None, at_most: float | None = None
) -> None:
    """A line: the median ratio (smallest to largest), and whether it is as it should be."""
    middle = median(values)
    goal = ""
    if at_least is not None:
        goal = f"; goal >= {at_least:g} x: {'met' if middle >= at_least else 'NOT met'}"
    if at_most is not None:
        goal = f"; goal <= {at_most:g} x: {'met' if middle <= at_most else 'NOT met'}"
    turns = f"{len(values)} turn{'' if len(values) == 1 else 's'}"
    print(f"RATIO {what}: {middle:.2f} x ({min(values):.2f} to {max(values):.2f}, {turns}){goal}")


def tell_circumstances(**more: str) -> None:
    """What it ran on; `more` names what else matters, versions for example."""
    for name, value in {**circumstances(), **more}.items():
        print(f"  {name}: {value}")
