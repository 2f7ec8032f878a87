"""What the page says: everything that its template asks for, worked out and in order."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from sightline import __version__
from sightline.classes import ClassMap
from sightline.config import Config, Context, Problem, to_dict
from sightline.reporting.data import DataFacts, data_facts
from sightline.reporting.division import SplitFacts, split_facts
from sightline.reporting.examples import Examples, Sample, choose_examples, choose_samples
from sightline.reporting.material import Material
from sightline.reporting.results import Results, results
from sightline.reporting.training import TrainingFacts, training_facts
from sightline.reporting.verdict import Caution, cautions, looks_text, verdict

MACHINE = ("store", "project", "tracker", "workers")
"""Settings that say where and how fast, and change no result: the report leaves them out."""
LIBRARIES = ("torch", "fastai", "segmentation_models_pytorch")


@dataclass(frozen=True)
class Source:
    """An artifact that the report is made from: `name:vN`, its type, sha256 digest and number of files."""

    spec: str
    type: str
    digest: str
    files: int


@dataclass(frozen=True)
class Recipe:
    """How to make it all again: commands, settings as YAML, versions of the software, artifacts by digest."""

    commands: tuple[str, ...]
    settings: str
    versions: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, eq=False)
class Facts:
    """What the page says, section by section; no picture and no chart yet."""

    title: str
    name: str
    classes: ClassMap
    verdict: tuple[str, ...]
    cautions: tuple[Caution, ...]
    context: Context
    problem: Problem
    data: DataFacts
    samples: tuple[Sample, ...]
    split: SplitFacts
    training: TrainingFacts
    results: Results
    looks: int
    looks_text: str
    examples: Examples
    recipe: Recipe


def gather(material: Material, config: Config, name: str, looks: int) -> Facts:
    """Work out what the page says.

    Args:
        material: the artifacts, opened.
        config: the settings; title, context, targets and number of examples come from there.
        name: the dataset's name.
        looks: how often the test subset was looked at.
    """
    data, split = data_facts(material, config.data.limit), split_facts(material)
    measured = results(material, config.problem)
    return Facts(
        title=config.report.title or f"A baseline for {name}",
        name=name,
        classes=material.classes,
        verdict=verdict(measured),
        cautions=cautions(material, data, split, measured, looks),
        context=config.context,
        problem=config.problem,
        data=data,
        samples=choose_samples(material),
        split=split,
        training=training_facts(material),
        results=measured,
        looks=looks,
        looks_text=looks_text(looks),
        examples=choose_examples(material, config.report.examples),
        recipe=recipe(material, config),
    )


def settings_of_report(config: Config) -> dict[str, Any]:
    """The settings that the report depends on: all but those that only say where and how fast."""
    return {key: value for key, value in to_dict(config).items() if key not in MACHINE}


def recipe(material: Material, config: Config) -> Recipe:
    """How to make it again. The seed and the training's settings are those that the model was trained with."""
    settings = settings_of_report(config)
    settings |= {"seed": material.recipe["seed"], "train": dict(material.recipe["train"])}
    settings["data"] = {**settings["data"], "data": config.data.data or str(material.raw.metadata.get("data", ""))}
    settings["evaluate"] = {**settings["evaluate"], "subset": material.subset}
    return Recipe(
        commands=("sightline run",),
        settings=as_yaml(settings),
        versions=versions(material.recipe),
        sources=tuple(Source(one.spec, one.type, one.digest, len(one.files)) for one in material.artifacts),
    )


def as_yaml(settings: Mapping[str, Any]) -> str:
    """The settings as `sightline.yaml` has them, lists on one line."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.add_representer(
        list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    )
    return yaml.dump(settings, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=88)


def versions(trained: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(software, version) on this machine; Sightline's own also as it was when the model was trained."""
    before = str(trained["sightline"])
    own = __version__ if before == __version__ else f"{__version__} (the model: {before})"
    return ("Python", platform.python_version()), ("sightline", own), *((name, _version(name)) for name in LIBRARIES)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
