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

from sightline.config import CONFIG_FILE, SECTIONS, Config, Setting, load_config, settings_of
from sightline.errors import ConfigError

PANELS = {name.capitalize(): section for name, section in SECTIONS.items()}


def with_settings(*sections: type, names: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the command's first argument, `config`, is read from `sightline.yaml` and these flags.

    Args:
        sections: every field of these settings dataclasses becomes a flag, besides those of `Config` itself.
        names: single fields of other sections that become flags too.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        settings = _settings(sections, names)

        @functools.wraps(command)
        def called(config_file: Path | None, **arguments: Any) -> None:
            given = {setting.name: _value(setting, arguments.pop(setting.name)) for _, setting in settings}
            command(load_config(config_file, given), **arguments)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        flags = [_flag(panel, setting) for panel, setting in settings]
        called.__signature__ = inspect.Signature([*own, *flags, _CONFIG])  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in [*own, *flags, _CONFIG]}
        del called.__wrapped__  # or the signature would be looked for there
        return called

    return decorate


_CONFIG = inspect.Parameter(
    "config_file",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Option(
            "--config",
            help=f"settings file; {CONFIG_FILE} of this folder when left out",
            rich_help_panel="Store",
            show_default=False,
        ),
    ],
)


def _settings(sections: tuple[type, ...], names: tuple[str, ...]) -> list[tuple[str, Setting]]:
    """(help panel, setting) of each flag, those of the command's own sections first."""
    own = [(panel, setting) for panel, kind in PANELS.items() if kind in sections for setting in settings_of(kind)]
    single = [
        (panel, setting)
        for panel, kind in PANELS.items()
        if kind not in sections
        for setting in settings_of(kind)
        if setting.name in names
    ]
    return [*own, *single, *(("Store", setting) for setting in settings_of(Config))]


def _flag(panel: str, setting: Setting) -> inspect.Parameter:
    flag = "--" + setting.key.replace("_", "-")
    names = [f"{flag}/--no-{flag[2:]}"] if _plain(setting.kind) is bool else [flag]
    option = typer.Option(
        *names, help=setting.text, rich_help_panel=panel, show_default=_shown(setting), metavar=_metavar(setting)
    )
    kind: Any = Annotated[_parsed(setting.kind) | None, option]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


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


def _shown(setting: Setting) -> str | bool:
    """The default as the help shows it, though the flag itself has none: left out, `sightline.yaml` decides."""
    default = setting.default
    if isinstance(default, tuple):
        return (" " if _metavar(setting) == "HEIGHT WIDTH" else ",").join(map(str, default))
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default) if default not in (None, "", {}) else False


def _value(setting: Setting, given: Any) -> Any:
    """What was given on the command line, as `sightline.yaml` would hold it."""
    origin = get_origin(_plain(setting.kind))
    if not isinstance(given, str) or origin not in (tuple, dict):
        return given
    parts = [part.strip() for part in given.split(",") if part.strip()]
    if origin is tuple:
        return parts
    pairs: Mapping[str, str] = dict(part.rpartition("=")[::2] for part in parts)
    if "" in pairs:
        raise ConfigError(f"--{setting.key.replace('_', '-')} takes CLASS=VALUE, separated by commas, not {given!r}.")
    return pairs
