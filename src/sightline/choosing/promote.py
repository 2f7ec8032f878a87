"""Promote: let an alias such as `staging` point at the model that a run made."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.config import Config
from sightline.errors import ConfigError
from sightline.stages.named import named_model, run_called
from sightline.tracking import Artifact, Tracker, open_tracker
from sightline.tracking.aliases import check_alias


@dataclass(frozen=True)
class Promoted:
    """An alias that was moved.

    Args:
        alias: its name.
        model: the version that it points at now.
        before: the version that it pointed at before; None where it is new.
    """

    alias: str
    model: Artifact
    before: Artifact | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.alias} is {self.model.spec}"
        if self.before.version == self.model.version:
            return f"{self.alias} is {self.model.spec}, as before"
        return f"{self.alias} is {self.model.spec}, and {self.before.spec} no more"


def promote(config: Config, run: Artifact | str, alias: str = "staging", tracker: Tracker | None = None) -> Promoted:
    """Let an alias point at a model. It is one version's at a time: another one of the same name loses it.

    Args:
        config: says where models are kept, and of which dataset.
        run: a training (`training-2`), an evaluation of its model, or the model itself: an artifact, `road_model:v3`,
            another alias.
        alias: a letter first, then letters, digits, `_` and `-`; not `latest`, `best` or `v3`.
        tracker: where the model is kept; opened from `config` when left out.

    Raises:
        ConfigError: a name that an alias cannot have, or something that has no model behind it.
        StoreError: nothing is called so.
    """
    check_alias(alias)
    tracker = tracker or open_tracker(config)
    _check_free(tracker, alias)
    model = named_model(config, tracker, run).model
    before = next((one for one in tracker.artifacts() if one.name == model.name and alias in one.aliases), None)
    return Promoted(alias, tracker.set_alias(model, alias), before)


def _check_free(tracker: Tracker, alias: str) -> None:
    """`--model NAME` means the artifact or the run of that name first, so that an alias would not be found by it."""
    if tracker.backend.find(alias, "latest") or run_called(tracker, alias):
        raise ConfigError(f"A run or an artifact is called {alias} already. Choose another alias, such as staging.")
