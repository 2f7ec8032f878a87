"""The commands `compare` and `promote`: they parse and call, as those in `cli.py` do."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sightline.config import Config
from sightline.flags import STORE, with_settings

DATASET = (*STORE, "data", "name")
"""Settings that say where runs are kept, and whose models an alias alone means."""


@with_settings(names=(*DATASET, "subset"))
def compare(
    config: Config,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Two or more trainings, evaluations or models, by name: training-1, NAME_eval:v2, NAME_model:staging.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare runs with the first: settings that differ, IoU side by side, and how sure the difference is."""
    from sightline.choosing.compare import compare as work
    from sightline.console import print_parts
    from sightline.terminal import render_compared
    from sightline.tracking.plain import plain

    found = work(config, runs)
    if as_json:
        typer.echo(json.dumps(plain(found.to_dict()), indent=1))
    else:
        print_parts(*render_compared(found))


@with_settings(names=DATASET)
def promote(
    config: Config,
    run: Annotated[
        str,
        typer.Argument(help="A training (training-2), an evaluation, or a model (NAME_model:v3).", show_default=False),
    ],
    alias: Annotated[str, typer.Option(help="The name that the model gets; another version loses it.")] = "staging",
) -> None:
    """Give a model an alias, such as staging, by which `--model` finds it."""
    from sightline.choosing.promote import promote as work
    from sightline.console import say

    promoted = work(config, run, alias)
    say(f"promote: {promoted}")
    typer.echo(promoted.model.spec)
