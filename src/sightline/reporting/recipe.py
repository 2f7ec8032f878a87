"""How to make it all again: the settings that made each artifact, the commands, the versions, the digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sightline.config import Config, to_dict
from sightline.sources import SOURCES
from sightline.tracking import Artifact
from sightline.versions import versions

MACHINE = ("store", "project", "tracker", "workers", "wandb")
"""Settings that say where and how fast, and change no result: the report leaves them out."""
LEARNING = ("torch", "fastai", "segmentation-models-pytorch")
DRAWING = ("plotly", "jinja2")
STAGES = ("ingest", "split", "train", "evaluate")
"""The stages that made the four artifacts, in their order."""


@dataclass(frozen=True)
class Source:
    """An artifact that the report is made from: `name:vN`, its type, sha256 digest and number of files."""

    spec: str
    type: str
    digest: str
    files: int


@dataclass(frozen=True)
class Place:
    """A setting that names a file or a folder: `section.key`, the path as it was given, and what it leads to."""

    key: str
    path: str
    what: str

    @property
    def relative(self) -> bool:
        """Whether it leads from the folder that Sightline ran in."""
        return not Path(self.path).is_absolute() and not self.path.startswith("~")


@dataclass(frozen=True)
class Software:
    """One version of a package, and the stages that worked with it."""

    name: str
    version: str
    stages: str


@dataclass(frozen=True)
class Recipe:
    """How to make it all again: commands, settings as YAML, paths in them, the software, artifacts by digest."""

    commands: tuple[str, ...]
    settings: str
    places: tuple[Place, ...]
    software: tuple[Software, ...]
    sources: tuple[Source, ...]


def recipe(config: Config, *artifacts: Artifact) -> Recipe:
    """How to make the report again.

    Args:
        config: the settings of the report.
        artifacts: raw data, split, model and evaluation.
    """
    settings, told = settings_of(config, *artifacts), versions_of(*artifacts)
    own = versions(DRAWING if "torch" in told["train"] else (*LEARNING, *DRAWING))
    return Recipe(
        commands=commands(seeds_of(config, *artifacts), settings["seed"]),
        settings=as_yaml(settings),
        places=places(settings, artifacts[1].spec, artifacts[2].json("config.json").get("weights_sha256", "")),
        software=software(told | {"report": own}),
        sources=tuple(map(source_of, artifacts)),
    )


def source_of(artifact: Artifact) -> Source:
    """An artifact as the report names it."""
    return Source(artifact.spec, artifact.type, artifact.digest, len(artifact.files))


def settings_of(
    config: Config, raw: Artifact, split: Artifact, model: Artifact, evaluation: Artifact
) -> dict[str, Any]:
    """The settings that made the four artifacts, and those of the report itself, as `sightline.yaml` has them.

    The seed is the training's. Where an artifact does not tell its settings, as older ones do not, they are those of
    `config`.
    """
    trained = model.json("config.json")
    tree = {key: value for key, value in to_dict(config).items() if key not in MACHINE}
    tree["data"]["data"] = tree["data"]["data"] or str(raw.metadata.get("data", ""))
    for artifact in (raw, split, evaluation):
        tree |= artifact.metadata.get("settings", {})
    tree |= {"seed": trained["seed"], "train": dict(trained["train"])}
    tree["data"] = {**tree["data"], "name": raw.name}
    tree["evaluate"] = {**tree["evaluate"], "subset": evaluation.json("summary.json")["subset"]}
    return tree


def seeds_of(config: Config, raw: Artifact, split: Artifact, model: Artifact, evaluation: Artifact) -> dict[str, int]:
    """Stage -> the seed that it ran with."""
    told = {"split": split.metadata.get("settings", {}), "train": model.json("config.json")}
    told["evaluate"] = evaluation.metadata.get("settings", {})
    return {stage: settings.get("seed", config.seed) for stage, settings in told.items()}


def commands(seeds: Mapping[str, int], seed: int) -> tuple[str, ...]:
    """What to type: the whole walk, or stage by stage where one ran with another seed than that of the settings."""
    flags = {stage: f" --seed {own}" for stage, own in seeds.items() if own != seed}
    if not flags:
        return ("sightline run",)
    return tuple(f"sightline {stage}{flags.get(stage, '')}" for stage in (*STAGES, "report"))


def places(settings: Mapping[str, Any], split: str, weights: str = "") -> tuple[Place, ...]:
    """The settings that name a file or a folder, which another machine has elsewhere.

    Args:
        settings: as `settings_of` gives them.
        split: the split artifact, which holds a ready split too.
        weights: sha256 of the file of first weights, where it is known.
    """
    data = settings["data"]
    found = (
        Place("data.data", "" if data["data"] in SOURCES else data["data"], "the images and the masks"),
        Place("data.classes", data["classes"], "the class map; looked for in the folder of the images first"),
        Place("split.from", settings["split"]["from"], f"the ready split, which is data_split.csv of {split} too"),
        Place(
            "train.weights",
            settings["train"].get("weights", ""),
            f"the first weights{weights and f', sha256 {weights}'}",
        ),
    )
    return tuple(place for place in found if place.path)


def as_yaml(settings: Mapping[str, Any]) -> str:
    """The settings as `sightline.yaml` has them, lists on one line."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    )
    return yaml.dump(settings, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=88)


def versions_of(raw: Artifact, split: Artifact, model: Artifact, evaluation: Artifact) -> dict[str, dict[str, str]]:
    """Stage -> package -> version, as the artifacts tell it; of an older model Sightline's alone is known."""
    trained = model.json("config.json")
    told = (
        raw.metadata.get("versions", {}),
        split.metadata.get("versions", {}),
        trained.get("versions", {"sightline": trained["sightline"]}),
        evaluation.metadata.get("versions", {}),
    )
    return dict(zip(STAGES, map(dict, told), strict=True))


def software(told: Mapping[str, Mapping[str, str]]) -> tuple[Software, ...]:
    """Each version once, with the stages that worked with it; in the order in which the packages are first named."""
    stages: dict[str, dict[str, list[str]]] = {}
    for stage, packages in told.items():
        for name, version in packages.items():
            stages.setdefault(name, {}).setdefault(version, []).append(stage)
    return tuple(
        Software(name, version, ", ".join(users)) for name, each in stages.items() for version, users in each.items()
    )
