"""Runs of the W&B SDK: opened quietly, within a time limit, without ever asking for a key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wandb
from wandb.errors import term
from wandb.sdk import wandb_setup
from wandb.sdk.lib import wbauth

from sightline.config import Wandb
from sightline.errors import MirrorError
from sightline.tracking.library import Setting, applied

INIT_SECONDS = 30.0
"""How long W&B may take to answer when a run begins."""
FINISH_SECONDS = 30.0
"""How long it may take to send the last of the metrics when a run ends; its artifacts are waited for before."""
LIMITS: dict[str, Any] = {
    f"x_{part}_{limit}": value
    for part in ("graphql", "file_transfer")
    for limit, value in (("retry_max", 3), ("retry_wait_max_seconds", 4.0))
} | {"x_graphql_timeout_seconds": 15.0}
"""How long an answer may take; how often, and after how long a pause, a request that failed is tried again. Where the
network swallows everything, a run ends four to five minutes late. For metrics it is left to the SDK, which goes on for
as long as the run does."""


@dataclass(frozen=True)
class Identity:
    """What makes a run in W&B the same as the one here."""

    id: str
    name: str
    job_type: str
    group: str


def open_run(store: Path, project: str, settings: Wandb, run: Identity, config: Mapping[str, Any]) -> Any:
    """The SDK's run of this id, made or gone on with. Its files go to `{store}/wandb`; the console stays ours.

    Raises:
        MirrorError: there is no key.
        wandb.Error: W&B does not answer, or refuses.
    """
    mode: Any = settings.mode or wandb_setup.singleton().settings.mode
    if mode == "disabled":
        raise MirrorError("It is switched off (mode disabled).")
    if mode not in ("offline", "dryrun"):
        _check_key()
    with _forgotten():
        return wandb.init(
            id=run.id,
            name=run.name,
            job_type=run.job_type,
            config=dict(config),
            project=settings.project or project,
            entity=settings.entity or None,
            group=run.group or None,
            tags=list(settings.tags) or None,
            mode=mode,
            dir=store,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
                **LIMITS,
            ),
        )


class Heard:
    """What the SDK would have printed: warnings and errors, in the place of a logger."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def info(self, text: str) -> None: ...

    def warning(self, text: str) -> None:
        self.texts.append(text)

    error = warning

    def check(self) -> None:
        """MirrorError where W&B refused metrics: the SDK says so, and ends the run as if nothing had happened."""
        fatal = [text for text in self.texts if "Fatal error" in text]
        if fatal:
            raise MirrorError("It refused the metrics or the summary, and does not have all of them.")


@contextmanager
def _forgotten() -> Iterator[None]:
    """Where a run cannot begin, the SDK's service ends: else this process could not try again, "the id is in use"."""
    try:
        yield
    except Exception:
        if wandb.run is None:  # none of the user's own is open
            wandb.teardown()
        raise


@contextmanager
def heard() -> Iterator[Heard]:
    """The SDK prints nothing for the length of the block, whatever its settings."""
    ears = Heard()
    _ = wandb_setup.singleton().settings  # reading them says where to print, so that comes first
    with applied([Setting(term, "_silent", True), Setting(term, "_logger", ears)]):
        yield ears


@contextmanager
def staged(store: Path) -> Iterator[None]:
    """What the SDK copies for artifacts goes to `{store}/wandb` too, unless WANDB_DATA_DIR says where."""
    given = os.environ.get("WANDB_DATA_DIR")
    os.environ["WANDB_DATA_DIR"] = given or str(store / "wandb")
    try:
        yield
    finally:
        if not given:
            del os.environ["WANDB_DATA_DIR"]


def _check_key() -> None:
    """MirrorError where the SDK would ask for a key."""
    url = wandb_setup.singleton().settings.base_url
    if wbauth.authenticate_session(host=url, source="sightline", prompt=False, update_session=False) is None:
        raise MirrorError(
            f"There is no key for W&B at {url}. `wandb login` keeps one, WANDB_API_KEY gives one, "
            "and --wandb-mode offline needs none."
        )
