"""A mirror of the runs in another tracker: told of everything, asked for nothing, and never in a run's way."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sightline.console import say
from sightline.errors import ConfigError, SightlineError
from sightline.tracking.artifact import Artifact
from sightline.tracking.records import RunRecord


class Mirror(Protocol):
    """Is told what happens in a run, in this order; as all of it is stored already, it can be told later too."""

    def started(self, record: RunRecord) -> None:
        """A run begins, or goes on."""

    def used(self, record: RunRecord, artifact: Artifact) -> None:
        """The run reads an artifact."""

    def logged(self, record: RunRecord, step: int, metrics: Mapping[str, Any]) -> None:
        """The run logged numbers. A run that goes on tells again of the steps before."""

    def saved(self, record: RunRecord, artifact: Artifact) -> None:
        """The run saved an artifact, which comes with all of its aliases."""

    def ended(self, record: RunRecord) -> None:
        """The run is over, well or not; the record holds its status and its summary."""

    def dropped(self) -> None:
        """Something went wrong here: let go of what is open. Nothing more is told."""


class NoMirror:
    """Where nobody listens."""

    def started(self, record: RunRecord) -> None: ...

    def used(self, record: RunRecord, artifact: Artifact) -> None: ...

    def logged(self, record: RunRecord, step: int, metrics: Mapping[str, Any]) -> None: ...

    def saved(self, record: RunRecord, artifact: Artifact) -> None: ...

    def ended(self, record: RunRecord) -> None: ...

    def dropped(self) -> None: ...


class Careful:
    """A mirror that fails no run: its first error becomes a warning, and it is told nothing after it.

    Args:
        make: opens the mirror; called when the first run starts, so that those who only look need not wait for it.
    """

    def __init__(self, make: Callable[[], Mirror]) -> None:
        self._make = make
        self._mirror: Mirror | None = None
        self._broken = False

    def started(self, record: RunRecord) -> None:
        self._tell(record, lambda mirror: mirror.started(record))

    def used(self, record: RunRecord, artifact: Artifact) -> None:
        self._tell(record, lambda mirror: mirror.used(record, artifact))

    def logged(self, record: RunRecord, step: int, metrics: Mapping[str, Any]) -> None:
        self._tell(record, lambda mirror: mirror.logged(record, step, metrics))

    def saved(self, record: RunRecord, artifact: Artifact) -> None:
        self._tell(record, lambda mirror: mirror.saved(record, artifact))

    def ended(self, record: RunRecord) -> None:
        self._tell(record, lambda mirror: mirror.ended(record))

    def dropped(self) -> None:
        if self._mirror:
            self._mirror.dropped()

    def _tell(self, record: RunRecord, what: Callable[[Mirror], None]) -> None:
        if self._broken:
            return
        try:
            self._mirror = self._mirror or self._make()
            what(self._mirror)
        except Exception as error:
            self._broken = True
            say(
                f"Warning: W&B: {told(error)} The run goes on without it, and so do those after it; `sightline sync "
                f"{record.name}` mirrors it later, `sightline sync --all` all of them."
            )
            with contextlib.suppress(Exception):
                self.dropped()


def told(error: Exception) -> str:
    """An error of the mirror's in a line, with a full stop at its end."""
    text = " ".join(str(error).split())
    named = text if isinstance(error, SightlineError) else f"{type(error).__name__}: {text}"
    return named.rstrip(".") + "."


def check_wandb() -> None:
    """ConfigError unless the W&B SDK is installed."""
    if importlib.util.find_spec("wandb") is None:
        raise ConfigError("The mirror in W&B needs W&B's own package: pip install 'sightline[wandb]'.")
