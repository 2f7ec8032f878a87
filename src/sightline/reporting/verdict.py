"""The result in plain words, and what a reader has to be careful about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sightline.reporting.data import DataFacts
from sightline.reporting.division import SplitFacts
from sightline.reporting.material import Material
from sightline.reporting.results import MET, MISSED, UNMEASURED, Results, Score
from sightline.reporting.sweep import SweepFacts
from sightline.wording import SUBSETS, interval, listed, plural, score

FEW_GROUPS = 10
FEW_IMAGES = 50
"""A subset with fewer images gives a figure that a handful of odd ones can move."""


@dataclass(frozen=True)
class Caution:
    """Something to be careful about.

    Args:
        text: what, in a sentence or two.
        section: id of the section that tells more.
        severe: whether the figures may be wrong, and not merely unsure.
    """

    text: str
    section: str
    severe: bool = False


def verdict(results: Results) -> tuple[str, ...]:
    """The result as sentences: the score against the baseline, the targets, and how far to trust it."""
    return (
        _scored(results),
        _against_baseline(results),
        *_mean_target(results.mean),
        *_class_targets(results),
        _trust(results),
    )


def looks_text(looks: int) -> str:
    """How often the test subset was looked at."""
    if looks == 0:
        return "The test subset has not been looked at so far."
    times = {1: "once", 2: "twice"}.get(looks, f"{looks} times")
    text = f"The test subset has been looked at {times}."
    return text if looks == 1 else f"{text} Each look that a choice follows from makes its figure a little too kind."


def cautions(
    material: Material,
    data: DataFacts,
    split: SplitFacts,
    results: Results,
    looks: int,
    sweep: SweepFacts | None = None,
) -> tuple[Caution, ...]:
    """All that weakens the figures, what may make them wrong first."""
    found = [
        *_of_leaks(split),
        *_of_lineage(material),
        *_of_size(data, results),
        *_of_classes(data, results),
        *_of_looks(results, looks),
        *_of_sweep(results, sweep),
    ]
    return tuple(sorted(found, key=lambda one: not one.severe))


def _scored(results: Results) -> str:
    mean, where = results.mean, f"{plural(results.images, SUBSETS[results.subset] + ' image')}"
    groups = plural(results.groups, "group")
    if mean.value is None:
        return f"On the {where} of {groups} no class could be measured, so there is no mean IoU."
    sure = (
        f"{100 * results.level:.0f}\u202f% interval {interval(mean.interval)}"
        if mean.interval
        else "too few groups to say how sure"
    )
    return f"On the {where} of {groups} the model reaches a mean IoU of {score(mean.value)} ({sure})."


def _against_baseline(results: Results) -> str:
    value, baseline = results.mean.value, results.mean.baseline
    answer = f"Always answering “{results.baseline_class}” reaches {score(baseline)}"
    if value is None or baseline is None:
        return f"{answer}."
    if value <= baseline:
        return f"{answer}: the model does no better, so it has learnt nothing of use yet."
    if results.mean.interval and results.mean.interval[0] <= baseline:
        return f"{answer}, which the interval does not rule out: the gain may be chance."
    return f"{answer}, so the model is better by {score(value - baseline)}."


def _mean_target(mean: Score) -> Iterator[str]:
    if mean.target is not None:
        yield f"The target of {score(mean.target, 2)} for the mean IoU is {mean.status}{_doubt(mean)}."


def _doubt(mean: Score) -> str:
    if mean.target is None or mean.interval is None or not mean.interval[0] < mean.target < mean.interval[1]:
        return ""
    return ", though the interval holds both answers possible"


def _class_targets(results: Results) -> Iterator[str]:
    held = [one for one in results.classes if one.target is not None]
    met, missed, unmeasured = (results.with_status(status) for status in (MET, MISSED, UNMEASURED))
    if not held:
        yield "No target is set for any class, so nothing is said to be met or not met."
        return
    yield f"Of {plural(len(held), 'class', 'classes')} with a target, {len(met)} met it" + (
        f" ({listed([one.name for one in met])})." if met else "."
    )
    if missed:
        gaps = [f"{one.name} ({score(one.value, 2)} of {score(one.target, 2)})" for one in missed]
        yield f"Not met: {listed(gaps)}."
    if unmeasured:
        yield f"Not measured, since the subset does not show it: {listed([one.name for one in unmeasured])}."


def _trust(results: Results) -> str:
    if results.subset == "test":
        return "These images took no part in training or in choosing the best epoch."
    return (
        "These images also chose the best epoch, so on new drives expect a little less; "
        "the test subset is kept for the end."
    )


def _of_leaks(split: SplitFacts) -> Iterator[Caution]:
    leaks = split.leaks
    if leaks.groups:
        text = f"{plural(len(leaks.groups), 'group')} in more than one subset"
        yield Caution(f"Leak: {text}. The model is partly measured on drives that it trained on.", "split", severe=True)
    if leaks.near_duplicate_count:
        pairs = plural(leaks.near_duplicate_count, "pair of near-identical images", "pairs of near-identical images")
        if leaks.into_training:
            text = f"Leak: {pairs} across subsets. Such images are remembered rather than understood."
        else:
            text = f"{pairs} in valid and test: the one is not quite new to a model that was chosen by the other."
        yield Caution(text, "split", severe=leaks.into_training)
    if leaks.touching_count:
        pairs = plural(leaks.touching_count, "pair of neighbouring frames", "pairs of neighbouring frames")
        yield Caution(
            f"{pairs} of one drive touch across a subset's border, and neighbours look alike. A larger `gap` "
            "leaves them out.",
            "split",
        )

    if split.warnings:
        yield Caution(f"The split gave {plural(len(split.warnings), 'warning')}.", "split")


def _of_lineage(material: Material) -> Iterator[Caution]:
    trained_on = material.recipe["split"]
    if trained_on["digest"] != material.split.digest:
        yield Caution(
            f"The model was trained on {trained_on['name']} of another version than the one it was measured on, so "
            "it may have seen these images. Train it again.",
            "reproduce",
            severe=True,
        )


def _of_size(data: DataFacts, results: Results) -> Iterator[Caution]:
    if results.groups < FEW_GROUPS:
        yield Caution(
            f"Few groups: the {SUBSETS[results.subset]} subset has {results.groups}. Images of one group are alike, so "
            "the figures say little about others.",
            "results",
        )
    if results.images < FEW_IMAGES:
        yield Caution(
            f"Small subset: {plural(results.images, SUBSETS[results.subset] + ' image')}. A handful of odd ones can "
            "move the figures.",
            "results",
        )
    skipped = sum(len(damage.files) for damage in data.skipped)
    if skipped:
        yield Caution(f"{plural(skipped, 'problem')} made the ingest leave files out.", "data")
    if data.beyond_limit:
        yield Caution(f"A debugging subset: `limit` left {plural(data.beyond_limit, 'image')} out.", "data")


def _of_classes(data: DataFacts, results: Results) -> Iterator[Caution]:
    never = [one.name for one in data.classes if not one.images]
    if never:
        yield Caution(
            f"The data does not hold a single pixel of {listed(never)}: nothing can be learnt of that.", "data"
        )
    absent = [one.name for one in results.classes if not one.pixels and one.name not in never]
    if absent:
        text = f"The {SUBSETS[results.subset]} subset does not show {listed(absent)}: that was not measured."
        yield Caution(text, "results")
    invented = [one.name for one in results.classes if not one.pixels and one.value is not None]
    if invented:
        text = f"The model saw {listed(invented)} where there is none; each counts as 0 in the mIoU."
        yield Caution(text, "results")
    if results.unknown_targets:
        yield Caution(
            f"`target_iou` names {listed(results.unknown_targets)}, which the class map does not have. The classes "
            f"are: {listed([one.name for one in results.classes], most=40)}.",
            "problem",
        )


def _of_looks(results: Results, looks: int) -> Iterator[Caution]:
    if looks > 1:
        yield Caution(looks_text(looks), "results")


def _of_sweep(results: Results, sweep: SweepFacts | None) -> Iterator[Caution]:
    if sweep and results.subset == "valid":
        yield Caution(sweep.optimism, "sweep")
