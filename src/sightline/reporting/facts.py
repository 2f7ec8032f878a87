"""What the page says: everything that its template asks for, worked out and in order."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sightline.classes import ClassMap
from sightline.config import Config, Context, Problem
from sightline.reporting.data import DataFacts, data_facts
from sightline.reporting.division import SplitFacts, split_facts
from sightline.reporting.examples import Examples, Sample, choose_examples, choose_samples
from sightline.reporting.material import Material
from sightline.reporting.recipe import Recipe, recipe, source_of
from sightline.reporting.results import Results, results
from sightline.reporting.sweep import SweepFacts, sweep_facts
from sightline.reporting.training import TrainingFacts, training_facts
from sightline.reporting.verdict import Caution, cautions, looks_text, verdict
from sightline.sweeps.artifact import read_outcome
from sightline.tracking import Artifact


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
    selection: str = ""
    sweep: SweepFacts | None = None


def gather(material: Material, config: Config, name: str, looks: int, sweep: Artifact | None = None) -> Facts:
    """Work out what the page says.

    Args:
        material: the artifacts, opened.
        config: the settings; title, context, targets and number of examples come from there, and what
            the artifacts do not tell.
        name: the dataset's name.
        looks: how often the test subset was looked at.
        sweep: the sweep that the model was a trial of.
    """
    searched = sweep_facts(read_outcome(sweep), material.model.spec) if sweep else None
    made = recipe(config, *material.artifacts)
    data, split = data_facts(material), split_facts(material)
    measured = results(material, config.problem)
    return Facts(
        title=config.report.title or f"A baseline for {name}",
        name=name,
        classes=material.classes,
        verdict=verdict(measured),
        cautions=cautions(material, data, split, measured, looks, searched),
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
        recipe=replace(made, sources=(*made.sources, source_of(sweep))) if sweep else made,
        selection=material.selection,
        sweep=searched,
    )
