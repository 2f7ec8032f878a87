"""What does mirroring the EDA stage to W&B cost, beside the W&B course's own code for it? 200 images of 1280×720.

    python benchmarks/bench_wandb.py           1 turn, two minutes on one core
    python benchmarks/bench_wandb.py --full    3 turns

The course decodes every image, and W&B encodes it anew as PNG for its table; it copies both folders besides. Sightline
passes the files that its store holds already. Each work is done in a process of its own, `WANDB_MODE=offline`: the
course's code, `sightline ingest` alone, the same with wandb imported for nothing, and `sightline ingest` with the
mirror. The mirror's cost is what the last takes more than the second; its memory, what it takes more than the third.
Counted is all that the process and W&B's service took, imports as well; of memory, the process alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from scenes import draw, workplace
from timing import ratios, tell_circumstances, tell_ratio, turns_wanted

WORKS = {
    "course": "course",
    "alone": "ingest alone",
    "imported": "ingest alone, wandb imported",
    "mirrored": "ingest with the mirror",
}
"""As `wandb_peers.py` calls them -> as they are printed."""
DRIVES, FRAMES = 25, 8
GOAL, RESIDENT = 10.0, 30.0
"""The course's CPU seconds and bytes, at least so many times ours; ours less than so many megabytes over the import."""
Taken = Mapping[str, float]
"""What one process took: `cpu` seconds, `written`, `imported` and `resident` megabytes."""


def measure(work: str, scenes: Path, folder: Path) -> Taken:
    """Do one work in a process of its own, in an empty folder that goes afterwards."""
    command = [sys.executable, str(Path(__file__).with_name("wandb_peers.py")), work, str(scenes)]
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory(dir=folder) as place:
        done = subprocess.run([*command, place], env=calm, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{work} failed:\n{done.stderr}")
    taken: Taken = json.loads(done.stdout.splitlines()[-1])
    return taken


def of(taken: Sequence[Taken], what: str) -> list[float]:
    return [each[what] for each in taken]


def less(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [more - fewer for more, fewer in zip(above, below, strict=True)]


def tell_taken(spent: Mapping[str, Sequence[Taken]]) -> None:
    for work, name in WORKS.items():
        taken = spent[work]
        cpu, written, resident = (median(of(taken, what)) for what in ("cpu", "written", "resident"))
        print(f"  {name:28}{cpu:8.2f} CPU s {written:8.1f} MB written {resident:8.1f} MB resident at most")


def tell_ratios(spent: Mapping[str, Sequence[Taken]]) -> None:
    for what, key in (("CPU", "cpu"), ("bytes written", "written")):
        course, alone, mirrored = (of(spent[work], key) for work in ("course", "alone", "mirrored"))
        tell_ratio(f"{what}, course / the mirror alone", ratios(course, less(mirrored, alone)), at_least=GOAL)
        tell_ratio(f"{what}, course / all of ingest with the mirror", ratios(course, mirrored), at_least=GOAL)
        tell_ratio(f"{what}, ingest with the mirror / without", ratios(mirrored, alone))


def tell_resident(spent: Mapping[str, Sequence[Taken]]) -> None:
    """The mirror's memory: what is resident at most with it, less what is without it and with wandb imported."""
    more = less(of(spent["mirrored"], "resident"), of(spent["imported"], "resident"))
    course = median(of(spent["course"], "resident")) - median(of(spent["course"], "imported"))
    middle = median(more)
    print(
        f"RESIDENT the mirror, over ingest with wandb imported: {middle:.1f} MB ({min(more):.1f} to {max(more):.1f}); "
        f"goal < {RESIDENT:g} MB: {'met' if middle < RESIDENT else 'NOT met'} (the course, over importing wandb: "
        f"{course:.1f} MB)"
    )


def main() -> None:
    turns = turns_wanted(__doc__, quick=1, full=3)
    with workplace() as folder:
        draw(folder / "scenes", drives=DRIVES, frames=FRAMES)
        spent: dict[str, list[Taken]] = {work: [] for work in WORKS}
        for _ in range(turns):
            for work, taken in spent.items():
                taken.append(measure(work, folder / "scenes", folder))
    print(f"EDA stage logged to W&B offline, {DRIVES * FRAMES} JPEG + PNG mask of 1280x720")
    tell_taken(spent)
    tell_ratios(spent)
    tell_resident(spent)
    print("Not the same: ingest also checks every pair, keeps it under its digest, and makes thumbnails and figures;")
    print("the mirror also sends the settings, those tables and the digests of the local version.")
    tell_circumstances(wandb=version("wandb"))


if __name__ == "__main__":
    main()
