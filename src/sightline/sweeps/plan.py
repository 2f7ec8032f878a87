"""The sweep file: what is searched, by which method, for which number. Its words are those of W&B's sweep files."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from sightline.config import Config, parse_config, read_yaml, to_dict
from sightline.errors import ConfigError
from sightline.sweeps.draws import Choice, Draw, Normal, Range, Weighted, is_number, label_of, read_draw
from sightline.sweeps.names import NEEDLESS, Target, target_of
from sightline.tracking.plain import plain

Method = Literal["grid", "random", "bayes"]
Goal = Literal["maximize", "minimize"]

METHODS = ("grid", "random", "bayes")
TRIALS = 20
"""Trials where neither the file nor the command says how many; a grid has all of its points."""
IGNORED = ("program", "command", "project", "entity", "description", "controller")
"""Keys of W&B's that mean nothing here: the file says what to search, Sightline trains."""
KEYS = ("name", "method", "metric", "parameters", "early_terminate", "run_cap", *IGNORED)
LOSSES, SCORES = ("train_loss", "valid_loss"), ("miou",)
STOPPING = {"hyperband": ("min_iter", "max_iter", "s", "eta", "strict"), "median": ("min_iter", "min_trials")}


@dataclass(frozen=True)
class Metric:
    """The number that the trials are compared by, as training logs it after every epoch.

    Args:
        name: miou, `{class}_iou`, valid_loss or train_loss.
        goal: which end is the better one.
        target: no trial is begun any more when one has reached this; None to go on.
    """

    name: str = "miou"
    goal: Goal = "maximize"
    target: float | None = None

    def reached(self, value: float) -> bool:
        """Whether a value is as good as the target."""
        if self.target is None:
            return False
        return value >= self.target if self.goal == "maximize" else value <= self.target


@dataclass(frozen=True)
class Parameter:
    """A setting that the sweep varies.

    Args:
        name: as the file has it.
        target: the setting, and how it is written there.
        draw: how its values are spread.
    """

    name: str
    target: Target
    draw: Draw

    def value(self, drawn: Any) -> Any:
        """The setting's value for what was drawn."""
        return self.target.convert(self.draw.value(drawn))


@dataclass(frozen=True)
class Stopping:
    """When a trial that does badly is ended early.

    Args:
        kind: hyperband: at some epochs only the best of those that came so far go on, one of `eta`; median: what is
            worse than half of the others at the same epoch is ended.
        min_iter: no trial is ended before this epoch.
        eta: see `kind`.
        min_trials: of median: so many trials are left to end by themselves first.
    """

    kind: Literal["hyperband", "median"]
    min_iter: int = 1
    eta: int = 3
    min_trials: int = 3


@dataclass(frozen=True)
class Plan:
    """A sweep file, read and checked.

    Args:
        name: what the sweep is called: `name` in the file, else the file's own name.
        method: grid, random or bayes.
        metric: what the trials are compared by.
        parameters: the settings that vary, in the file's order.
        fixed: settings that the file gives one value.
        stopping: how bad trials are ended early; None: never.
        trials: how many.
        text: the file as it was read.
        hints: what the reader of the file should know, in sentences.
    """

    name: str
    method: Method
    metric: Metric
    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, Any]
    stopping: Stopping | None
    trials: int
    text: str
    hints: tuple[str, ...]

    def digest(self, training: Mapping[str, Any], split: str) -> str:
        """sha256 over what makes trials comparable: the space, the metric, all other settings, the split, Sightline.

        Args:
            training: what decides a training, as `deciding_all` has it.
            split: digest of the split artifact.
        """
        from sightline import __version__

        space = [(one.name, one.target.setting, type(one.draw).__name__, vars(one.draw)) for one in self.parameters]
        stopping = vars(self.stopping) if self.stopping else None
        metric = (self.metric.name, self.metric.goal)
        own = {*self.fixed, *(one.target.setting for one in self.parameters)}
        others = {key: value for key, value in training.items() if key not in own}
        others["train"] = {key: value for key, value in training.get("train", {}).items() if key not in own}
        parts = [__version__, self.method, metric, space, self.fixed, stopping, others, split]
        return hashlib.sha256(json.dumps(plain(parts), sort_keys=True, default=str).encode()).hexdigest()

    def config(self, config: Config, changes: Mapping[str, Any]) -> Config:
        """The settings of a trial: those of `config`, the file's fixed ones and the changes laid over them.

        Raises:
            ConfigError: a value does not fit.
        """
        return changed(config, {**self.fixed, **changes}, f"a trial of the sweep {self.name}")

    def told(self) -> str:
        """The sweep in a line."""
        what = ", ".join(one.name for one in self.parameters)
        return f"{self.method} over {what}; {self.trials} trials, {self.metric.name} ({self.metric.goal})"


def changed(config: Config, changes: Mapping[str, Any], where: str) -> Config:
    """The settings with some of training's, and the seed, changed; ConfigError where a value does not fit."""
    tree = to_dict(config)
    for setting, value in changes.items():
        (tree if setting == "seed" else tree["train"])[setting] = value
    return parse_config(tree, where)


def read_plan(path: Path, config: Config, trials: int | None = None) -> Plan:
    """Read a sweep file and check every value that it can give against the settings.

    Args:
        path: the file.
        config: the settings that are not varied.
        trials: how many, in place of the file's `run_cap`.

    Raises:
        ConfigError: the file is missing or no YAML; a key, a setting, a distribution or a value that does not fit.
    """
    text, tree = _read(path)
    _check_top(tree, path)
    method = tree.get("method", "bayes")
    if method not in METHODS:
        raise ConfigError(f"{path}: method is {method!r}, but should be one of {', '.join(METHODS)}.")
    idle = [key for key in IGNORED if key in tree]
    hints = [f"{', '.join(idle)} in {path}: left aside, as Sightline trains."] if idle else []
    parameters, fixed, needless = _parameters(tree, path)
    plan = Plan(
        name=_name(tree, path),
        method=method,
        metric=_metric(tree.get("metric"), path),
        parameters=parameters,
        fixed=fixed,
        stopping=None,
        trials=trials or _count(tree.get("run_cap", TRIALS), f"{path}: run_cap"),
        text=text,
        hints=(*hints, *needless),
    )
    _check_values(plan, config, path)
    plan = replace(plan, stopping=_stopping(tree.get("early_terminate"), longest(plan, config), path))
    return _gridded(plan, path, asked=trials is not None or "run_cap" in tree) if method == "grid" else plan


def longest(plan: Plan, config: Config) -> int:
    """The most epochs that a trial may have."""
    own = [one for one in plan.parameters if one.target.setting == "epochs"]
    return int(max(_ends(own[0]) if own else [plan.fixed.get("epochs", config.train.epochs)]))


def check_networks(plan: Plan, config: Config, path: Path) -> None:
    """ConfigError where a network or an encoder that a trial may ask for does not exist, or they do not go together."""
    named = [one for one in plan.parameters if one.target.setting in ("arch", "encoder")]
    if not named:
        return
    from sightline.learning.model import build

    options = [[(one.target.setting, value) for value in _ends(one)] for one in named]
    for pairs in itertools.product(*options):
        train = plan.config(config, dict(pairs)).train
        try:
            if train.recipe != "course":
                build(train, 2, pretrained=False)
        except ConfigError as error:
            names = " and ".join(f"parameters.{one.name}" for one in named)
            raise ConfigError(f"{path}: {names}: {error}") from None


def check_classes(plan: Plan, names: tuple[str, ...], shown: Mapping[str, int]) -> None:
    """ConfigError where the metric is of a class that there is not, or that no image of valid shows.

    Args:
        plan: the sweep.
        names: of the classes.
        shown: class -> images of valid that show it.
    """
    metric = plan.metric.name
    if metric in (*LOSSES, *SCORES):
        return
    known = [f"{name}_iou" for name in names]
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join((*SCORES, *LOSSES, *known))}."
        raise ConfigError(f"metric.name is {metric!r}, which no training logs. {hint}")
    if not shown.get(metric.removesuffix("_iou")):
        raise ConfigError(
            f"metric.name is {metric!r}, but no image of the valid subset shows that class: no trial would have a "
            "value. Take another metric, or another split."
        )


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    text, tree = read_yaml(path, f"There is no sweep file {path}. `sightline sweep --help` shows one.")
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no sweep: it should have `method`, `metric` and `parameters`.")
    return text, tree


def _check_top(tree: Mapping[Any, Any], path: Path) -> None:
    for key in tree:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            raise ConfigError(
                f"{path}: a sweep has no key {key!r}; "
                + (f"did you mean {near[0]}?" if near else f"there are {', '.join(KEYS)}.")
            )


def _name(tree: Mapping[str, Any], path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", str(tree.get("name") or path.stem)).strip("-") or "sweep"


def _metric(given: Any, path: Path) -> Metric:
    if given is None:
        return Metric()
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ConfigError(f"{path}: metric is {given!r}, but should be {{name: miou, goal: maximize}}.")
    if unknown := sorted(set(map(str, given)) - {"name", "goal", "target"}):
        raise ConfigError(f"{path}: metric has no {', '.join(unknown)}; it has name, goal and target.")
    name = given["name"]
    if name not in (*LOSSES, *SCORES) and not name.endswith("_iou"):
        raise ConfigError(
            f"{path}: metric.name is {name!r}, which no training logs. There are: "
            f"{', '.join((*SCORES, *LOSSES))}, and the IoU of each class, such as bicycle_iou."
        )
    better: Goal = "minimize" if name in LOSSES else "maximize"
    if given.get("goal", better) != better:
        raise ConfigError(f"{path}: metric.goal is {given['goal']!r}, but of {name} one wants to {better} it.")
    target = given.get("target")
    if target is not None and not is_number(target):
        raise ConfigError(f"{path}: metric.target is {target!r}, but should be a number.")
    return Metric(name, better, None if target is None else float(target))


def _parameters(tree: Mapping[str, Any], path: Path) -> tuple[tuple[Parameter, ...], dict[str, Any], list[str]]:
    """Those that vary; those with one value, as settings; what is to say of those that mean nothing here."""
    found: list[Parameter] = []
    fixed: dict[str, Any] = {}
    hints: list[str] = []
    for name, spec in _flat(tree.get("parameters"), f"{path}: parameters", ""):
        where = f"{path}: parameters.{name}"
        if name in NEEDLESS:
            hints.append(f"{name} is left aside: {NEEDLESS[name]}.")
            continue
        draw = read_draw(spec, where)
        options = draw.options if isinstance(draw, Choice | Weighted) else ()
        parameter = Parameter(name, target_of(name, options, where), draw)
        if clash := _clash(parameter, found, fixed):
            raise ConfigError(f"{where} sets {parameter.target.setting}, as {clash} does. Keep one of them.")
        if name == "arch" and parameter.target.setting == "encoder":
            hints.append("arch names encoders, as in W&B's course: the setting `encoder` varies.")
        if isinstance(draw, Choice) and len(draw.options) == 1:
            fixed[parameter.target.setting] = parameter.value(draw.labels[0])
        else:
            found.append(parameter)
    if not found:
        raise ConfigError(f"{path}: no parameter has more than one value: there is nothing to search.")
    return tuple(found), fixed, hints


def _clash(parameter: Parameter, found: list[Parameter], fixed: Mapping[str, Any]) -> str:
    setting = parameter.target.setting
    same = next((one.name for one in found if one.target.setting == setting), "")
    return same or ("another with one value" if setting in fixed else "")


def _flat(given: Any, where: str, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, what is said of it), those nested under another's `parameters` with a dot between."""
    if not isinstance(given, dict) or not given:
        raise ConfigError(
            f"{where} is {given!r}, but should have a setting a line, such as `batch_size: {{values: [4, 8]}}`."
        )
    for key, spec in given.items():
        name = f"{prefix}{key}"
        if not isinstance(spec, dict):
            raise ConfigError(
                f"{where}.{key} is {spec!r}, but should say how it varies: {{values: […]}}, {{min: …, max: …}}."
            )
        if set(spec) == {"parameters"}:
            yield from _flat(spec["parameters"], f"{where}.{key}", f"{name}.")
        else:
            yield name, spec


def _ends(parameter: Parameter) -> list[Any]:
    """The values to check: all of them where they can be counted, else both ends."""
    draw = parameter.draw
    if isinstance(draw, Choice):
        drawn: list[Any] = list(draw.labels)
    elif isinstance(draw, Range):
        drawn = [draw.low, draw.high]
        drawn = [int(end) for end in drawn] if draw.integer else drawn
    else:
        return list(draw.options) if isinstance(draw, Weighted) else [parameter.value(0.5)]
    return [parameter.value(each) for each in drawn]


def _check_values(plan: Plan, config: Config, path: Path) -> None:
    changed(config, plan.fixed, f"{path}: parameters")
    for one in plan.parameters:
        for value in _ends(one):
            changed(config, {one.target.setting: value}, f"{path}: parameters.{one.name}")


def _stopping(given: Any, epochs: int, path: Path) -> Stopping | None:
    if given is None:
        return None
    where = f"{path}: early_terminate"
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in STOPPING:
        raise ConfigError(f"{where}.type is {kind!r}, but should be hyperband or median.")
    if unknown := sorted(set(map(str, given)) - {"type", *STOPPING[kind]}):
        raise ConfigError(f"{where}: {kind} has no {', '.join(unknown)}; it has {', '.join(STOPPING[kind])}.")
    numbers = {key: _count(given[key], f"{where}.{key}") for key in given if key not in ("type", "strict")}
    if numbers.get("eta", 3) < 2:
        raise ConfigError(f"{where}.eta is {numbers['eta']}, but should be 2 or more.")
    first = numbers.get("min_iter") or _first(numbers, epochs)
    if first >= epochs:
        raise ConfigError(
            f"{where}: the first look is after epoch {first}, but trials have {epochs} epochs. Look sooner, or train "
            "longer."
        )
    return Stopping(cast(Any, kind), first, numbers.get("eta", 3), numbers.get("min_trials", 3))


def _first(numbers: Mapping[str, int], epochs: int) -> int:
    """W&B's `max_iter` and `s`: the last bracket of s, counted back from the end by eta."""
    if "max_iter" not in numbers:
        return 1
    brackets = numbers.get("s", int(math.log(numbers["max_iter"], numbers.get("eta", 3))))
    return max(1, int(numbers["max_iter"] / numbers.get("eta", 3) ** brackets))


def _count(value: Any, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ConfigError(f"{where} is {value!r}, but should be a whole number of 1 or more.")


def _gridded(plan: Plan, path: Path, asked: bool) -> Plan:
    """A grid has as many trials as points, or fewer where fewer are asked for."""
    sizes = []
    for one in plan.parameters:
        points = one.draw.grid()
        if points is None:
            raise ConfigError(
                f"{path}: parameters.{one.name} has no end of values, so a grid cannot try them all. Give `values`, or "
                "take method random or bayes."
            )
        sizes.append(len(points))
    points_in_all = math.prod(sizes)
    return replace(plan, trials=min(plan.trials, points_in_all) if asked else points_in_all)


def describe(parameter: Parameter) -> str:
    """How a parameter varies, for people."""
    draw = parameter.draw
    if isinstance(draw, Range):
        how = "whole numbers " if draw.integer else ""
        step = f", in steps of {draw.step:g}" if draw.step else ""
        return f"{how}{draw.low:g} to {draw.high:g}{', evenly on a logarithmic scale' if draw.log else ''}{step}"
    if isinstance(draw, Normal):
        return f"{'log-' if draw.log else ''}normal, mean {draw.mu:g}, deviation {draw.sigma:g}"
    return ", ".join(str(label_of(option)) for option in draw.options)
