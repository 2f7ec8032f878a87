"""The command `sweep`: it parses and calls, as those in `cli.py` do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sightline.config import SECTIONS, Config
from sightline.flags import with_settings


@with_settings(Config, *SECTIONS.values())
def sweep(
    config: Config,
    file: Annotated[
        Path, typer.Argument(help="The sweep file, in the words of W&B's: method, metric, parameters.", metavar="FILE")
    ],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all, in place of the file's run_cap; more go on.")
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, help="Processes that work on trials side by side; each has its share of the cores.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the settings of training: many trials, bad ones ended early, the best one evaluated and reported.

    Broken off, the same command goes on; given in another shell, it joins in. A sweep file is such as:

    \b
    method: bayes
    metric: {name: miou, goal: maximize}
    parameters:
      lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
      batch_size: {values: [4, 8]}
    run_cap: 6
    """
    from sightline.console import print_parts
    from sightline.sweeps.artifact import read_outcome
    from sightline.sweeps.sweep import sweep as search
    from sightline.terminal import render_sweep

    found = search(config, file, trials=trials, parallel=parallel)
    outcome = read_outcome(found.sweep)
    if as_json:
        made = {name: artifact.spec for name, artifact in vars(found).items()}
        typer.echo(json.dumps({**made, **outcome.about, "trials": outcome.rows}, indent=1))
        return
    print_parts(render_sweep(outcome))
    typer.echo(f"Model: {found.model.spec}")
    typer.echo(f"Report: {Path(config.store) / 'reports' / f'{found.report.name}.html'}")
