"""How the values of one setting are spread, in the words of W&B's sweep files, and what is drawn for them.

Each kind has the numbers that the search works with (`Choice`: one of some labels, `Range`: an interval), and `value`,
which makes a setting of what was drawn. A spread that the search does not know (normal; choices of unequal
probability) is searched by its quantile, between 0 and 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import Any

from sightline.errors import ConfigError

Spec = Mapping[str, Any]
Label = str | int | float | bool

TAIL = 1e-4
"""A quantile is drawn from here to as far from 1: a normal distribution has no end."""
SPREADS = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": ("min", "max"),
    "uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
    "log_uniform": ("min", "max"),
    "log_uniform_values": ("min", "max"),
    "q_log_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
    "inv_log_uniform": ("min", "max"),
    "inv_log_uniform_values": ("min", "max"),
    "normal": ("mu", "sigma"),
    "q_normal": ("mu", "sigma", "q"),
    "log_normal": ("mu", "sigma"),
    "q_log_normal": ("mu", "sigma", "q"),
}
"""Each of W&B's distributions and its keys."""
POWER = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?e[-+]?[0-9]+", re.IGNORECASE)
"""A number such as `1e-3`, which YAML's reader takes for a text, as it has no point (or, `1.5e3`, no sign)."""
DEFAULTS = {"q": 1.0, "mu": 0.0, "sigma": 1.0}


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Args:
        options: the values, as the file has them.
    """

    options: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Label, ...]:
        """What is drawn for each: the value itself, or its text where it is a list."""
        return tuple(label_of(option) for option in self.options)

    def value(self, drawn: Any) -> Any:
        """The option that a label stands for."""
        return self.options[self.labels.index(drawn)]

    def grid(self) -> list[Label]:
        """Every label."""
        return list(self.labels)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        low, high: the ends.
        log: even in the logarithm.
        integer: whole numbers.
        step: values are multiples of it; 0 for any.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    step: float = 0.0

    def value(self, drawn: Any) -> Any:
        """The number that was drawn, brought to a multiple of the step."""
        return _stepped(drawn, self.step, self.low, self.high) if self.step else drawn

    def grid(self) -> list[Label] | None:
        """Every number; None where there are too many to be counted."""
        if self.integer:
            return list(range(int(self.low), int(self.high) + 1))
        if not self.step or self.log:
            return None
        first, last = math.ceil(self.low / self.step), math.floor(self.high / self.step)
        return [_tidy(number * self.step) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Normal:
    """A normal distribution, or one whose logarithm is normal; drawn by its quantile.

    Args:
        mu, sigma: mean and standard deviation.
        log: of the logarithm.
        step: values are multiples of it; 0 for any.
    """

    mu: float
    sigma: float
    log: bool = False
    step: float = 0.0

    def value(self, drawn: Any) -> Any:
        """The value at a quantile."""
        normal = NormalDist(self.mu, self.sigma).inv_cdf(drawn)
        return _stepped(math.exp(normal) if self.log else normal, self.step, -math.inf, math.inf)

    def grid(self) -> None:
        """There is no end of them."""


@dataclass(frozen=True)
class Weighted:
    """One of some values, each with its probability; drawn by its quantile.

    Args:
        options: the values.
        probabilities: as many numbers; they add up to 1.
    """

    options: tuple[Any, ...]
    probabilities: tuple[float, ...]

    def value(self, drawn: Any) -> Any:
        """The value at a quantile."""
        bounds = list(accumulate(self.probabilities))[:-1]
        return self.options[sum(drawn > bound for bound in bounds)]

    def grid(self) -> list[Label]:
        """Every label: a grid has no use for probabilities."""
        return list(Choice(self.options).labels)


Draw = Choice | Range | Normal | Weighted


def read_draw(spec: Spec, where: str) -> Draw:
    """What the file says of one parameter.

    Args:
        spec: such as `{"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}`, `{"values": [4, 8]}`.
        where: what errors call it.

    Raises:
        ConfigError: an unknown distribution or key, a key that is missing, a value that does not fit.
    """
    kind = spec.get("distribution") or _implied(spec, where)
    if kind not in SPREADS:
        raise ConfigError(f"{where}: there is no distribution {kind!r}. There are: {', '.join(SPREADS)}.")
    _check_keys(spec, kind, where)
    if kind in ("constant", "categorical", "categorical_w_probabilities"):
        return _choice(spec, where)
    numbers = {key: _number(spec.get(key, DEFAULTS.get(key)), f"{where}.{key}") for key in SPREADS[kind]}
    return _normal(kind, numbers, where) if "normal" in kind else _range(kind, numbers, where)


def label_of(value: Any) -> Label:
    """A value as the search keeps it: a list as `90×160`."""
    if isinstance(value, str | int | float | bool):
        return value
    return "×".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def is_number(value: Any) -> bool:
    """Whether it is a number; YAML's `1e-5` is a text to its reader, and yes and no are none."""
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _implied(spec: Spec, where: str) -> str:
    """The distribution that W&B takes where none is named."""
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    if "min" in spec and "max" in spec:
        return "int_uniform" if all(isinstance(spec[key], int) for key in ("min", "max")) else "uniform"
    if "mu" in spec or "sigma" in spec:
        return "normal"
    raise ConfigError(
        f"{where} says neither `value`, `values`, `min` and `max`, nor `distribution`: nothing can be drawn."
    )


def _check_keys(spec: Spec, kind: str, where: str) -> None:
    keys = {*SPREADS[kind], *(("probabilities",) if kind == "categorical" else ())}
    if unknown := sorted(set(map(str, spec)) - keys - {"distribution"}):
        raise ConfigError(f"{where}: {kind} has no {', '.join(unknown)}. It has: {', '.join(SPREADS[kind])}.")
    if missing := [key for key in SPREADS[kind] if key not in spec and key not in DEFAULTS]:
        raise ConfigError(f"{where}: {kind} needs {' and '.join(missing)}.")


def _choice(spec: Spec, where: str) -> Choice | Weighted:
    if "value" in spec:
        return Choice((_plain(spec["value"]),))
    given = spec["values"]
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}.values is {given!r}, but should be a list of at least one value.")
    values = tuple(map(_plain, given))
    labels = [label_of(value) for value in values]
    if twice := [label for place, label in enumerate(labels) if label in labels[:place]]:
        raise ConfigError(f"{where}.values names {twice[0]} twice. `probabilities` make one more frequent.")
    return _weighted(values, spec["probabilities"], where) if "probabilities" in spec else Choice(values)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, str) and POWER.fullmatch(value) else value


def _weighted(values: tuple[Any, ...], probabilities: Any, where: str) -> Weighted:
    fits = isinstance(probabilities, list) and len(probabilities) == len(values) and all(map(is_number, probabilities))
    numbers = tuple(map(float, probabilities)) if fits else ()
    if not fits or min(numbers) < 0 or not math.isclose(sum(numbers), 1, abs_tol=1e-6):
        raise ConfigError(
            f"{where}.probabilities is {probabilities!r}, but should be {len(values)} numbers that add up to 1, one a "
            "value."
        )
    return Weighted(values, numbers)


def _range(kind: str, numbers: Mapping[str, float], where: str) -> Range:
    low, high = numbers["min"], numbers["max"]
    if kind in ("log_uniform", "q_log_uniform"):
        low, high = math.exp(low), math.exp(high)
    elif kind == "inv_log_uniform":
        low, high = math.exp(-high), math.exp(-low)
    log, integer, step = "log" in kind, kind == "int_uniform", numbers.get("q", 0.0)
    if integer and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{where}: int_uniform goes from one whole number to another, not from {low} to {high}.")
    if not low < high:
        raise ConfigError(f"{where}: min ({numbers['min']:g}) should be below max ({numbers['max']:g}).")
    if log and low <= 0:
        raise ConfigError(f"{where}: {kind} needs a min above 0, not {low:g}.")
    if "q" in numbers and (step <= 0 or math.floor(high / step) < math.ceil(low / step)):
        raise ConfigError(f"{where}: there is no multiple of q ({step:g}) from {low:g} to {high:g}.")
    return Range(low, high, log, integer, step)


def _normal(kind: str, numbers: Mapping[str, float], where: str) -> Normal:
    step = numbers.get("q", 0.0)
    if numbers["sigma"] <= 0 or step < 0:
        raise ConfigError(f"{where}: sigma and q should be above 0.")
    return Normal(numbers["mu"], numbers["sigma"], "log" in kind, step)


def _number(value: Any, where: str) -> float:
    if not is_number(value):
        raise ConfigError(f"{where} is {value!r}, but should be a number.")
    return float(value)


def _stepped(value: float, step: float, low: float, high: float) -> float:
    """The nearest multiple of the step that lies from `low` to `high`; the value itself where there is no step."""
    if not step:
        return value
    ends = [
        end if math.isinf(end) else function(end / step) for end, function in ((low, math.ceil), (high, math.floor))
    ]
    return _tidy(min(max(round(value / step), ends[0]), ends[1]) * step)


def _tidy(value: float) -> float:
    """The number without what binary fractions add to it, whole where it is whole."""
    tidy = float(f"{value:.12g}")
    return int(tidy) if tidy.is_integer() else tidy
