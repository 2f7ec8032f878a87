"""What `--help` prints: names and choices are never cut off, however narrow the terminal is."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDEST = 100
"""Columns that the help takes at most, where the terminal has them: longer lines are hard to read."""
NAMES = 26
"""Columns for the names of options; the help of one with a longer name begins in the line below it."""
WHOLE = {"-": "\u2011", "[default: ": "[default:\u00a0"}
"""What stands for text at which click would break a line, while it does: `bdd-simple-1k` is one word."""


class _Whole:
    """Writes the parts that click writes, in its order; Typer would draw tables whose columns cut what does not fit."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _write_help(self, ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class HelpfulCommand(_Whole, TyperCommand):
    """A command with its options in sections: those of its own first, then one for each part of the settings."""


class HelpfulGroup(_Whole, TyperGroup):
    """The commands, each with the first sentence of its help."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        super().format_options(ctx, formatter)
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, (command.help or "").split("\n\n")[0]) for name, command in commands.items() if command]
        _write_section("Commands", rows, formatter)


def _write_help(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    command.format_options(ctx, formatter)
    if command.epilog:
        formatter.write(f"\n  {command.epilog}\n")  # a command to copy: never broken
    text = "".join(formatter.buffer)
    for plain, whole in WHOLE.items():
        text = text.replace(whole, plain)
    encoding = sys.stdout.encoding or "utf-8"
    formatter.buffer = [text.encode(encoding, "sightline").decode(encoding)]  # click writes UTF-8 to ASCII terminals


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
        if record := parameter.get_help_record(ctx):
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    for panel, rows in panels.items():
        _write_section(panel, rows, formatter)


def _write_section(title: str, rows: list[tuple[str, str]], formatter: Any) -> None:
    with formatter.section(_styled(title, bold=True)):
        formatter.write_dl([(_styled(name, fg="cyan"), _unbroken(text)) for name, text in rows], col_max=NAMES)


def _styled(text: str, **style: Any) -> str:
    return text if os.environ.get("NO_COLOR") else typer.style(text, **style)


def _unbroken(text: str) -> str:
    for plain, whole in WHOLE.items():
        text = text.replace(plain, whole)
    return text
