"""The command line: one command per stage. It parses, calls, and translates errors; all else is elsewhere."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sightline import __version__
from sightline.config import SECTIONS, Config, Data, Evaluate, Report, Split, Train, write_commented
from sightline.console import console
from sightline.errors import SightlineError
from sightline.flags import with_settings

if TYPE_CHECKING:
    from sightline.tracking import Artifact, Tracker

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


class Commands(TyperGroup):
    """The commands; a user's mistake ends in one message and an exit code by kind, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("Interrupted. What is finished is kept: `sightline run` goes on from there.", 130)
        except OSError as error:
            if error.errno not in FULL:
                raise
            _fail(f"{error}. Free some space, or choose a --store that can be written.", 7)


app = typer.Typer(
    cls=Commands,
    name="sightline",
    help="From a folder of labelled road images to a trustworthy, reported segmentation baseline.",
    epilog="Try: sightline sample data && sightline run --data data --no-pretrained",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Force = Annotated[bool, typer.Option("--force", help="Do it even when it is up to date.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """The entry point `sightline`."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit


@app.callback()
def begin(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no lines on stderr but errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of labelled road images to a trustworthy, reported segmentation baseline."""
    console().quiet = quiet


@app.command(epilog="Try: sightline run --data data --no-pretrained --epochs 5")
@with_settings(*SECTIONS.values())
def run(config: Config, force: Force = False) -> None:
    """Every stage in order, from a folder of images to a report; skips what is up to date, goes on with what was
    broken off."""
    from sightline.stages.pipeline import run as walk

    tracker = _tracker(config)
    done = walk(config, tracker, force=force)
    _print_evaluation(done.evaluation)
    _print_report(config, done.report)


@app.command(epilog="Try: sightline ingest --data bdd-simple-1k --limit 50")
@with_settings(Data)
def ingest(config: Config, force: Force = False) -> None:
    """Check every image and mask, and keep them with a table of one row per image."""
    from sightline.stages.ingest import ingest as stage

    _print_spec(stage(config, _tracker(config), force=force))


@app.command(epilog="Try: sightline split --stratify bicycle,person --test-folds 0 --valid-folds 1,2")
@with_settings(Split, names=("data", "name"))
def split(
    config: Config,
    raw: Annotated[str, typer.Option(help="The dataset, NAME:VERSION.", show_default="NAME:latest")] = "",
    force: Force = False,
) -> None:
    """Deal the images to train, valid and test, each drive to one of them, and check for leaks."""
    from sightline.stages.split import split as stage

    _print_spec(stage(config, _tracker(config), raw=raw or None, force=force))


@app.command(epilog="Try: sightline train --no-pretrained --epochs 20 --lr 1e-3")
@with_settings(Train, names=("data", "name"))
def train(
    config: Config,
    split_data: Annotated[
        str, typer.Option("--split", help="The split, NAME_split:VERSION.", show_default="NAME_split:latest")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last finished epoch.")] = False,
    force: Force = False,
) -> None:
    """Train the baseline, and keep the weights of the epoch with the best mIoU on valid."""
    from sightline.stages.train import train as stage

    _print_spec(stage(config, _tracker(config), split=split_data or None, force=force, resume=resume))


@app.command(epilog="Try: sightline evaluate --subset test")
@with_settings(Evaluate, names=("data", "name", "device"))
def evaluate(
    config: Config,
    model: Annotated[str, typer.Option(help="The model, NAME_model:VERSION.", show_default="NAME_model:latest")] = "",
    force: Force = False,
) -> None:
    """Measure a model image by image, beside a majority-class baseline."""
    from sightline.stages.evaluate import evaluate as stage

    evaluation = stage(config, _tracker(config), model=model or None, force=force)
    _print_evaluation(evaluation)
    _print_spec(evaluation)


@app.command(epilog="Try: sightline report --title 'Baseline of May'")
@with_settings(Report, names=("data", "name", "subset", "goal", "users", "cost_of_errors", "target_miou", "target_iou"))
def report(
    config: Config,
    evaluation: Annotated[
        str, typer.Option(help="The evaluation, NAME_eval:VERSION.", show_default="NAME_eval:latest")
    ] = "",
    force: Force = False,
) -> None:
    """Write the report: one HTML file that opens anywhere."""
    from sightline.stages.report import report as stage

    _print_report(config, stage(config, _tracker(config), evaluation=evaluation or None, force=force))


@app.command(epilog="Try: sightline show data --where 'bicycle = 1 AND Brightness < 60' --sort 'person_share DESC'")
@with_settings()
def show(
    config: Config,
    table: Annotated[
        str, typer.Argument(help="A Parquet file, an artifact (NAME, NAME:v2), or a file in it (NAME:v2/x.parquet).")
    ],
    where: Annotated[str, typer.Option(help="Only rows for which this holds (SQL; odd names in double quotes).")] = "",
    sort: Annotated[
        str, typer.Option(help="Order of the rows (SQL): a column, DESC after it for the largest first.")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many rows; 0 for the summary alone.")] = 20,
    columns: Annotated[str, typer.Option(help="Columns to print, separated by commas.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print a table, and what it holds: images and pixels per class, which classes occur together."""
    from sightline.stages.stage import find_table
    from sightline.summary import summarise

    found = find_table(table, config).query(where, sort)
    summary = summarise(found)
    if as_json:
        rows = found.query(limit=limit).rows() if limit else []
        typer.echo(json.dumps({"summary": summary.to_dict(), "rows": rows}, indent=1, default=str))
        return
    from sightline.terminal import render, render_rows

    names = [name.strip() for name in columns.split(",") if name.strip()] or None
    _print(*([render_rows(found, names, limit)] if limit else []), render(summary))


@app.command(epilog="Try: sightline sample data --drives 12 --frames 4 --width 640 --height 360")
def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made when missing.")],
    drives: Annotated[int, typer.Option(min=1, help="Number of drives.")] = 24,
    frames: Annotated[int, typer.Option(min=1, help="Images per drive.")] = 8,
    width: Annotated[int, typer.Option(help="Pixels.")] = 1280,
    height: Annotated[int, typer.Option(help="Pixels.")] = 720,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 42,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another sample that is in the folder.")] = False,
) -> None:
    """Draw synthetic road scenes with their masks: data to try everything with, offline."""
    from sightline.console import progress
    from sightline.synth import make_dataset

    with progress("drawing", drives * frames) as step:
        make_dataset(
            folder, drives=drives, frames=frames, size=(height, width), seed=seed, workers=workers, force=force,
            progress=step,
        )  # fmt: skip
    typer.echo(folder)


@app.command(epilog="Try: sightline init && sightline run")
def init(force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False) -> None:
    """Write a commented sightline.yaml with every setting into this folder."""
    typer.echo(write_commented(force=force))


@app.command(epilog="Try: sightline runs --json")
@with_settings()
def runs(config: Config, as_json: AsJson = False) -> None:
    """List the runs: what each did, from what, and what came of it."""
    from sightline.terminal import render_runs

    found = _tracker(config).runs()
    if as_json:
        import dataclasses

        typer.echo(json.dumps([dataclasses.asdict(record) for record in found], indent=1))
    else:
        _print(render_runs(found))


@app.command(epilog="Try: sightline artifacts camvid_model:v0")
@with_settings()
def artifacts(
    config: Config,
    artifact: Annotated[str, typer.Argument(help="One artifact, whose files are listed.", show_default="all")] = "",
    as_json: AsJson = False,
) -> None:
    """List the artifacts with their versions, or the files of one."""
    from sightline.terminal import render_artifact, render_artifacts

    tracker = _tracker(config)
    found = [tracker.get(artifact)] if artifact else tracker.artifacts()
    if as_json:
        typer.echo(json.dumps([each.to_dict() for each in found], indent=1))
    else:
        _print(render_artifact(found[0]) if artifact else render_artifacts(found))


@app.command(epilog="Try: sightline ui --port 8000")
@with_settings()
def ui(
    config: Config,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines can reach any but loopback.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port.", show_default="7860, or a free one")] = None,
) -> None:
    """Open trackio's dashboard on the runs: metrics, artifacts, lineage. Ctrl-C ends it."""
    from sightline.tracking.dashboard import serve

    serve(Path(config.store).resolve() / "trackio", config.project, host, port)


def _tracker(config: Config) -> Tracker:
    from sightline.tracking import open_tracker

    return open_tracker(config)


def _print_spec(artifact: Artifact) -> None:
    typer.echo(artifact.spec)


def _print_evaluation(evaluation: Artifact) -> None:
    from sightline.classes import ClassMap
    from sightline.terminal import render_evaluation

    _print(render_evaluation(evaluation.json("summary.json"), ClassMap.from_dict(evaluation.json("classes.json"))))


def _print_report(config: Config, page: Artifact) -> None:
    typer.echo(f"Report: {Path(config.store) / 'reports' / (page.name + '.html')}")


def _print(*parts: Any) -> None:
    """Rich renderables to stdout; as wide as they are where nobody looks at a terminal."""
    from rich.console import Console

    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=240)
    for part in parts:
        out.print(part)


def _fail(text: str, code: int) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"Error: {text}", markup=False)
    raise typer.Exit(code)
