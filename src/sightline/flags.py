"""The settings of `config.py` as flags of a command: one flag a field, under the field's own name."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from sightline.config import CONFIG_FILE, SECTIONS, Config, Setting, Wandb, load_config, settings_of
from sightline.console import console
from sightline.errors import ConfigError

GENERAL = "General"
"""Help panel of the settings that belong to no section."""
STORE = ("store", "project", "tracker")
"""The settings that every command needs which reads or writes runs."""
QUIET = typer.Option("--quiet", "-q", help="No progress, no lines on stderr but errors.")


Command = Callable[..., None]


def with_settings(*sections: type, names: tuple[str, ...] = STORE) -> Callable[[Command], Command]:
    """A decorator: the command's first argument, `config`, is read from `sightline.yaml` and these flags.

    Args:
        sections: every field of these settings dataclasses becomes a flag.
        names: single fields of other sections, and of `Config` itself, that become flags too.
    """

    def decorate(command: Command) -> Command:
        settings = _settings(sections, names)

        @functools.wraps(command)
        def called(config_file: Path | None, quiet: bool, **arguments: Any) -> None:
            console().quiet = console().quiet or quiet
            given = {setting.name: _value(setting, arguments.pop(setting.name)) for _, setting in settings}
            given["tracker"] = _tracker(given.get("tracker"), arguments.pop("wandb", False))
            command(load_config(config_file, given), **arguments)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        short = [_WANDB] if Wandb in sections else []
        flags = [*own, _QUIET, *(_flag(panel, setting) for panel, setting in settings), *short, _CONFIG]
        called.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in flags}
        del called.__wrapped__  # or the signature would be looked for there
        return called

    return decorate


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    annotation: Any = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_QUIET = _parameter("quiet", bool, False, QUIET)
_WANDB = _parameter(
    "wandb",
    bool,
    False,
    typer.Option("--wandb", help="Short for --tracker wandb: mirror the runs in W&B.", rich_help_panel=GENERAL),
)
_CONFIG = _parameter(
    "config_file",
    Path | None,
    None,
    typer.Option(
        "--config",
        help=f"Settings file; {CONFIG_FILE} of this folder when left out.",
        rich_help_panel=GENERAL,
        show_default=False,
    ),
)


def _tracker(tracker: str | None, wandb: bool) -> str | None:
    """What `--tracker` and its short form `--wandb` come to."""
    if wandb and tracker not in (None, "wandb"):
        raise ConfigError(f"--wandb is short for --tracker wandb, but --tracker is {tracker}. Give one of them.")
    return "wandb" if wandb else tracker


def _settings(sections: tuple[type, ...], names: tuple[str, ...]) -> list[tuple[str, Setting]]:
    """(help panel, setting) of each flag, those of whole sections first, the general ones last."""
    homes = {**{name.capitalize(): section for name, section in SECTIONS.items()}, GENERAL: Config}
    found = [(panel, kind, setting) for panel, kind in homes.items() for setting in settings_of(kind)]
    whole = [(panel, setting) for panel, kind, setting in found if kind in sections and kind is not Config]
    single = [(panel, setting) for panel, kind, setting in found if kind not in sections and setting.name in names]
    return [*whole, *single, *((GENERAL, setting) for setting in settings_of(Config) if Config in sections)]


def _flag(panel: str, setting: Setting) -> inspect.Parameter:
    flag = f"--{setting.flag}"
    names = [f"{flag}/--no-{flag[2:]}"] if _plain(setting.kind) is bool else [flag]
    shown = _shown(setting)
    text = f"{setting.text[0].upper()}{setting.text[1:]}." + (f" [default: {shown}]" if shown else "")
    option = typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, metavar=_metavar(setting))
    return _parameter(setting.name, _parsed(setting.kind) | None, None, option)


def _plain(kind: Any) -> Any:
    """The type without `None` and without pydantic's conditions."""
    if get_origin(kind) in (UnionType, typing.Union):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _parsed(kind: Any) -> Any:
    """The type that Typer reads the flag as."""
    plain = _plain(kind)
    if get_origin(plain) is tuple and get_args(plain)[-1] is not Ellipsis:
        return tuple.__class_getitem__(tuple(_plain(part) for part in get_args(plain)))
    return str if get_origin(plain) in (tuple, dict) else plain


def _metavar(setting: Setting) -> str | None:
    plain = _plain(setting.kind)
    if get_origin(plain) is dict:
        return "CLASS=VALUE,…"
    if get_origin(plain) is tuple:
        return "A,B,…" if get_args(plain)[-1] is Ellipsis else "HEIGHT WIDTH"
    return "|".join(get_args(plain)) if get_origin(plain) is Literal else None


def _shown(setting: Setting) -> str:
    """The default as the help shows it, though the flag itself has none: left out, `sightline.yaml` decides."""
    default = setting.default
    if isinstance(default, tuple):
        return (" " if _metavar(setting) == "HEIGHT WIDTH" else ",").join(map(str, default))
    if isinstance(default, bool):
        return setting.flag if default else f"no-{setting.flag}"
    return str(default) if default not in (None, "", {}) else ""


def _value(setting: Setting, given: Any) -> Any:
    """What was given on the command line, as `sightline.yaml` would hold it."""
    origin = get_origin(_plain(setting.kind))
    if not isinstance(given, str) or origin not in (tuple, dict):
        return given
    parts = [part.strip() for part in given.split(",") if part.strip()]
    if origin is tuple:
        return parts
    pairs: Mapping[str, str] = {name.strip(): value.strip() for name, _, value in (p.rpartition("=") for p in parts)}
    if "" in pairs:
        raise ConfigError(f"--{setting.flag} takes CLASS=VALUE, separated by commas, not {given!r}.")
    return pairs
