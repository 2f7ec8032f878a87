"""What people call a model or an evaluation: an artifact, an alias such as `staging`, a run that had to do with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from sightline.config import Config
from sightline.errors import ConfigError, StoreError
from sightline.stages.stage import dataset_name
from sightline.tracking import Artifact, RunRecord, Tracker
from sightline.tracking.aliases import VERSION, listed

LISTED = 20
"""At most so many runs are listed in an error."""


class Named(NamedTuple):
    """A model, and the alias that it was called by: `staging`, `best`; empty where it was none."""

    model: Artifact
    alias: str


def named_model(config: Config, tracker: Tracker, given: Artifact | str | None) -> Named:
    """The model that is meant.

    Args:
        config: says which dataset's model, for an alias alone.
        tracker: where it is kept.
        given: an artifact, `road_model:v3`, `road_model:staging`, `staging`, a run (`training-2`) or an evaluation
            that had to do with one; None or empty for the latest of the dataset.

    Raises:
        StoreError: nothing is called so; the text lists what there is.
        ConfigError: there is something of that name, but no model behind it; or it is not clear which dataset.
    """
    if not given:
        return Named(tracker.get(f"{dataset_name(config, tracker)}_model"), "")
    found = _meant(config, tracker, given)
    model = next(_behind(tracker, found, "model"), None)
    if model is None:
        raise ConfigError(_no_model(tracker, given, found))
    return Named(model, _alias(tracker, given) if isinstance(given, str) else "")


def named_evaluation(config: Config, tracker: Tracker, given: Artifact | str) -> Artifact:
    """The evaluation that is meant; that of a model is its newest on `config.evaluate.subset`.

    Args:
        config, tracker, given: as for `named_model`; an evaluation, or the run that made it, stands for itself.

    Raises:
        StoreError: nothing is called so, or the model has no such evaluation; the text says what to do.
        ConfigError: as `named_model` does.
    """
    own = next(_behind(tracker, _meant(config, tracker, given), "evaluation"), None)
    if own is not None:
        return own
    model, subset = named_model(config, tracker, given).model, config.evaluate.subset
    found = next((one for one in _evaluations(tracker, model) if one.metadata.get("subset") == subset), None)
    if found is None:
        called = model.spec if given == model.spec else f"{given} ({model.spec})"
        flag = "" if subset == "valid" else f" --subset {subset}"
        raise StoreError(
            f"{called} has no evaluation on {subset}. `sightline evaluate --model {model.spec}{flag}` makes one."
        )
    return found


def _evaluations(tracker: Tracker, model: Artifact) -> Iterator[Artifact]:
    """What finished evaluations of a model made, the newest first.

    By their runs: models that predict alike share an artifact, and its metadata name but one of them.
    """
    for run in reversed(tracker.runs()):
        if (run.job_type, run.status) == ("evaluation", "finished") and model.spec in run.inputs and run.outputs:
            yield tracker.get(run.outputs[-1])


def run_called(tracker: Tracker, name: str) -> RunRecord | None:
    """The run of that name or id."""
    return next((record for record in tracker.runs() if name in (record.name, record.id)), None)


def _meant(config: Config, tracker: Tracker, given: Artifact | str) -> Sequence[Artifact]:
    """The artifact, or those that the run wrote and read."""
    if isinstance(given, Artifact):
        return [given]
    if record := run_called(tracker, given):
        return [tracker.get(spec) for spec in (*record.outputs, *record.inputs)]
    if ":" in given or tracker.backend.find(given, "latest"):
        return [tracker.get(given)]
    return [_by_alias(config, tracker, given)]


def _by_alias(config: Config, tracker: Tracker, alias: str) -> Artifact:
    runs = [record.name for record in tracker.runs()]
    before = f" and {len(runs) - LISTED} before" if len(runs) > LISTED else ""
    told = f"No run and no artifact is called {alias} in {tracker.store}. The runs are: "
    told += f"{', '.join(runs[-LISTED:]) or 'none yet'}{before}. "
    try:
        name = f"{dataset_name(config, tracker)}_model"
    except ConfigError as error:
        raise ConfigError(f"{told}If it is an alias: {error}") from None
    versions = [one for one in tracker.artifacts() if one.name == name]
    found = alias in {alias for one in versions for alias in one.aliases} or VERSION.fullmatch(alias)
    if not found:
        raise StoreError(f"{told}The aliases of {name} are: {listed(versions) or 'none yet'}.")
    return tracker.get(f"{name}:{alias}")


def _behind(tracker: Tracker, found: Sequence[Artifact], kind: Literal["model", "evaluation"]) -> Iterator[Artifact]:
    """The artifacts of that type among those found, and the ones that they were made from."""
    for artifact in found:
        source = artifact.metadata.get(kind)
        if artifact.type == kind:
            yield artifact
        elif isinstance(source, str):
            yield tracker.get(source)


def _alias(tracker: Tracker, given: str) -> str:
    """`staging` of `staging` and of `road_model:staging`; nothing of a version, a run or a name alone."""
    name, _, version = given.partition(":")
    if not version and (tracker.backend.find(name, "latest") or run_called(tracker, name)):
        return ""
    called = version or name
    return "" if VERSION.fullmatch(called) else called


def _no_model(tracker: Tracker, given: Artifact | str, found: Sequence[Artifact]) -> str:
    record = None if isinstance(given, Artifact) else run_called(tracker, given)
    if record and record.job_type == "training":
        how = f"it {record.status} ({record.error})" if record.error else f"it is {record.status}"
        return f"{record.name} made no model: {how}."
    what = f"{record.name} ({record.job_type})" if record else f"{found[0].spec} ({found[0].type})"
    return f"There is no model behind {what}. Give a training, an evaluation, or a model: NAME_model:vN."
