"""What a parameter of a sweep file is called among Sightline's settings, and how its values are written there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sightline.config import SECTIONS, Train, settings_of
from sightline.errors import ConfigError

NEEDLESS = {"log_preds": "every prediction is kept by `sightline evaluate`", "framework": "it is fastai"}
"""Parameters of the W&B course that decide nothing here, and why."""


class Target(NamedTuple):
    """The setting that a parameter changes, and what makes a value of the setting of one in the file."""

    setting: str
    convert: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _wide(height: Any) -> Any:
    """The course's `img_size` is the height of images of 16 to 9."""
    return [int(height), int(int(height) * 16 / 9)] if not isinstance(height, list) else height


def _augment(value: Any) -> Any:
    """The course's `augment` is yes (fastai's aug_transforms) or no."""
    return {True: "full", False: "none"}.get(value, value) if isinstance(value, bool) else value


def _precision(mixed: Any) -> Any:
    return "auto" if mixed else "fp32"


ALIASES = {
    "learning_rate": Target("lr", _same),
    "bs": Target("batch_size", _same),
    "n_epochs": Target("epochs", _same),
    "backbone": Target("encoder", _same),
    "img_size": Target("image_size", _wide),
    "augment": Target("augment", _augment),
    "mixed_precision": Target("precision", _precision),
}
"""Names that W&B's courses use."""


def target_of(name: str, options: Sequence[Any], where: str) -> Target:
    """The setting that a parameter stands for.

    Args:
        name: as the file has it, with or without its section: `lr`, `train.lr`.
        options: its values, where it has some.
        where: what errors call it.

    Raises:
        ConfigError: there is no such setting, or it is none of training.
    """
    section, _, key = name.rpartition(".")
    if section in ("", "train") and key == "arch" and _are_encoders(options):
        return Target("encoder", _same)
    if section in ("", "train") and key in ALIASES:
        return ALIASES[key]
    if name == "seed" or (section in ("", "train") and key in _of(Train)):
        return Target(key, _same)
    raise ConfigError(f"{where}: {_reason(section, key)}")


def _of(section: type) -> list[str]:
    return [setting.key for setting in settings_of(section)]


def _are_encoders(options: Sequence[Any]) -> bool:
    """Whether none of the values names an architecture: the course calls the encoder `arch`."""
    from sightline.learning.libraries import models

    known = {"light", *models.MODEL_ARCHITECTURES_MAPPING}
    return bool(options) and not any(str(option).lower() in known for option in options)


def _reason(section: str, key: str) -> str:
    homes: Mapping[str, type] = {name: kind for name, kind in SECTIONS.items() if name != "train"}
    home = section if section in homes else next((name for name, kind in homes.items() if key in _of(kind)), "")
    if home:
        return (
            f"the section `{home}` is the same for all trials, or they could not be compared. A sweep varies the "
            "settings of `train`, and `seed`."
        )
    near = difflib.get_close_matches(key, [*_of(Train), *ALIASES, "seed"], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join((*_of(Train), 'seed'))}."
    return f"there is no such setting of training; {hint}"
