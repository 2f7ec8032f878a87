"""What is known of each run's mirror: `{store}/wandb/{run id}.json`, so that a run is mirrored once only."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

NEVER = -1
"""The step before any."""


@dataclass(frozen=True)
class Mirrored:
    """One run in W&B.

    Args:
        run: its id, here and there.
        done: W&B has all of it; for an offline run, the folder does.
        offline: it was written for `wandb sync`, not uploaded.
        where: its page, or the folder.
        step: the last step that W&B has for sure, or an offline folder that was closed.
    """

    run: str
    done: bool = False
    offline: bool = False
    where: str = ""
    step: int = NEVER


def read_state(store: Path, run: str) -> Mirrored:
    """What is known of a run's mirror; nothing where there is none, or the file cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Mirrored(**json.loads(_path(store, run).read_text(encoding="utf-8")))
    return Mirrored(run)


def write_state(store: Path, state: Mirrored) -> None:
    """Keep it, whole or not at all."""
    path = _path(store, state.run)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _path(store: Path, run: str) -> Path:
    return store / "wandb" / f"{run}.json"
