"""The command line: one command per stage. It parses, calls, and translates errors; all else is elsewhere."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import sys
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline import __version__
from sightline.choosing import commands as choosing
from sightline.config import (
    SECTIONS,
    Config,
    Context,
    Data,
    Evaluate,
    Problem,
    Report,
    Split,
    Train,
    Wandb,
    write_commented,
)
from sightline.console import console, print_parts, say
from sightline.errors import ConfigError, SightlineError
from sightline.flags import QUIET, STORE, with_settings
from sightline.help import WIDEST, HelpfulCommand, HelpfulGroup
from sightline.learning.ranks import alone, leave_first_to_tell, speaks, world
from sightline.prediction import commands
from sightline.sweeps import commands as sweeps
from sightline.sync import sync

if TYPE_CHECKING:
    from sightline.tracking import Artifact, Tracker

REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free some space, or write to another disk (--store, --out)."),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Choose a folder that can be read and written."),
}
"""What to do about errors of the disk that are no fault of the program."""
PLAIN = {"–": "-", "−": "-", "…": "...", "·": ".", "×": "x", "“": '"', "”": '"', "‘": "'", "’": "'", "→": "->"}
"""What stands for a character that the terminal's encoding does not have."""


class Commands(HelpfulGroup):
    """The commands; a user's mistake ends in one message and an exit code by kind, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail(
                "Interrupted. What is finished is kept; the same command goes on from there (`train` with --resume).",
                130,
            )
        except Exception as error:
            disk = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(disk, OSError) or disk.errno not in REMEDIES:
                raise
            place = f"{disk.filename}: " if disk.filename else ""
            _fail(f"{place}{disk.strerror}. {REMEDIES[disk.errno]}", 7)


app = typer.Typer(
    cls=Commands,
    name="sightline",
    epilog="Try: sightline sample data && sightline run --data data --no-pretrained",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)

command = partial(app.command, cls=HelpfulCommand)

Force = Annotated[bool, typer.Option("--force", help="Do it even when it is up to date.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """The entry point `sightline`. What the terminal cannot show becomes something near it, never a traceback."""
    codecs.register_error("sightline", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="sightline")
    if not world().first:
        _follow()
    app()


def _follow() -> None:
    """The entry point in the processes after the first, which leave results and wrong flags to that one to tell."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        try:
            code = app(standalone_mode=False) or 0
        except Exception as error:
            if not hasattr(error, "exit_code"):
                raise
            code = error.exit_code
        if code:
            leave_first_to_tell()
        sys.exit(code)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(char, "?") for char in error.object[error.start : error.end]), error.end


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sightline {__version__}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    quiet: Annotated[bool, QUIET] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a folder of labelled road images to a trustworthy, reported segmentation baseline."""
    console().quiet = quiet
    if context.invoked_subcommand != "train":
        alone(f"`sightline {context.invoked_subcommand}`")


@command(epilog="Try: sightline run --data data --no-pretrained --epochs 5")
@with_settings(Config, *SECTIONS.values())
def run(config: Config, force: Force = False) -> None:
    """Walk from a folder of images to a report, stage by stage; skip what is up to date, go on with what broke off."""
    from sightline.stages.pipeline import run as walk

    tracker = _tracker(config)
    done = walk(config, tracker, force=force)
    _print_evaluation(done.evaluation)
    typer.echo(f"Report: {_page(config, done.report)}")


@command(epilog="Try: sightline ingest --data data --limit 100")
@with_settings(Data, Wandb, names=(*STORE, "workers"))
def ingest(config: Config, force: Force = False) -> None:
    """Check every image and mask, and keep them with a table of one row per image."""
    from sightline.stages.ingest import ingest as stage

    _print_spec(stage(config, _tracker(config), force=force))


@command(epilog="Try: sightline split --stratify bicycle,person --test-folds 0 --valid-folds 1,2")
@with_settings(Split, Wandb, names=(*STORE, "data", "name", "seed"))
def split(
    config: Config,
    raw: Annotated[str, typer.Option(help="The dataset, NAME:VERSION; the latest when left out.")] = "",
    force: Force = False,
) -> None:
    """Deal the images to train, valid and test, each drive to one of them, and check for leaks."""
    from sightline.stages.split import split as stage

    _print_spec(stage(config, _tracker(config), raw=raw or None, force=force))


@command(epilog="Try: sightline train --no-pretrained --epochs 20 --lr 1e-3")
@with_settings(Train, Wandb, names=(*STORE, "data", "name", "seed"))
def train(
    config: Config,
    split_data: Annotated[
        str, typer.Option("--split", help="The split, NAME_split:VERSION; the latest when left out.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last finished epoch of a training that was broken off.")
    ] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Only look for a learning rate, by a mock training of a hundred steps.")
    ] = False,
    force: Force = False,
) -> None:
    """Train the baseline, and keep the weights of the epoch with the best mIoU on valid."""
    from sightline.stages.train import find_lr as finder
    from sightline.stages.train import train as stage

    if find_lr:
        from sightline.terminal import render_rates

        print_parts(render_rates(finder(config, _tracker(config), split=split_data or None)))
        return

    _print_spec(stage(config, _tracker(config), split=split_data or None, force=force, resume=resume))


@command(epilog="Try: sightline evaluate --subset test")
@with_settings(Evaluate, Wandb, names=(*STORE, "data", "name", "device", "seed"))
def evaluate(
    config: Config,
    model: Annotated[
        str,
        typer.Option(help="The model: NAME_model:VERSION, an alias (staging, best), a run; the latest when left out."),
    ] = "",
    force: Force = False,
) -> None:
    """Measure a model image by image, beside a majority-class baseline."""
    from sightline.stages.evaluate import evaluate as stage

    evaluation = stage(config, _tracker(config), model=model or None, force=force)
    _print_evaluation(evaluation)
    _print_spec(evaluation)


@command(epilog="Try: sightline report --title 'Baseline of May'")
@with_settings(Context, Problem, Report, Wandb, names=(*STORE, "data", "name", "subset"))
def report(
    config: Config,
    evaluation: Annotated[
        str, typer.Option(help="The evaluation, NAME_eval:VERSION; the latest of the subset when left out.")
    ] = "",
    force: Force = False,
) -> None:
    """Write the report: one HTML file that opens anywhere."""
    from sightline.stages.report import report as stage

    typer.echo(_page(config, stage(config, _tracker(config), evaluation=evaluation or None, force=force)))


command(epilog="Try: sightline predict photos --confidence")(commands.predict)
command(epilog="Try: sightline export --onnx model.onnx")(commands.export)
command(epilog="Try: sightline sweep sweep.yaml --trials 6")(sweeps.sweep)
command(epilog="Try: sightline compare training-1 training-2")(choosing.compare)
command(epilog="Try: sightline promote training-2 --alias staging")(choosing.promote)
command(epilog="Try: sightline sync --all --wandb-project roads")(sync)


@command(epilog="Try: sightline show data --where 'bicycle = 1 AND Brightness < 120' --sort 'person_share DESC'")
@with_settings()
def show(
    config: Config,
    table: Annotated[
        str, typer.Argument(help="A Parquet file, an artifact (NAME, NAME:v2), or a file in it (NAME:v2/x.parquet).")
    ],
    where: Annotated[
        str, typer.Option(help='Only rows for which this holds (SQL; odd names and "Group" in double quotes).')
    ] = "",
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
        _print_json({"summary": summary.to_dict(), "rows": found.query(limit=limit).rows() if limit else []})
        return
    from sightline.terminal import render, render_rows

    names = [name.strip() for name in columns.split(",") if name.strip()] or None
    print_parts(*([render_rows(found, names, limit)] if limit else []), render(summary))


@command(epilog="Try: sightline sample data --drives 12 --frames 4 --width 640 --height 360")
def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made when missing.")],
    drives: Annotated[int, typer.Option(min=1, help="Number of drives.")] = 24,
    frames: Annotated[int, typer.Option(min=1, help="Images per drive.")] = 8,
    width: Annotated[int, typer.Option(help="Width of the images in pixels.")] = 1280,
    height: Annotated[int, typer.Option(help="Height of the images in pixels.")] = 720,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 42,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores when left out.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another sample that is in the folder.")] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Draw synthetic road scenes with their masks: data to try everything with, offline."""
    from sightline.console import progress
    from sightline.sample import make_dataset

    console().quiet = console().quiet or quiet
    with progress("drawing", drives * frames) as step:
        make_dataset(
            folder, drives=drives, frames=frames, size=(height, width), seed=seed, workers=workers, force=force,
            progress=step,
        )  # fmt: skip
    typer.echo(folder)


@command(epilog="Try: sightline init && sightline run --data data --no-pretrained")
def init(force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False) -> None:
    """Write a commented sightline.yaml with every setting into this folder."""
    typer.echo(write_commented(force=force))


@command(epilog="Try: sightline runs --json")
@with_settings()
def runs(config: Config, as_json: AsJson = False) -> None:
    """List the runs: what each did, from what, and what came of it."""
    import dataclasses

    from sightline.terminal import render_runs

    found = _tracker(config).runs()
    if as_json:
        _print_json([dataclasses.asdict(record) for record in found])
    elif found:
        print_parts(render_runs(found))
    else:
        say(f"No runs in {config.store} yet. `sightline run` makes some.")


@command(epilog="Try: sightline artifacts data_model")
@with_settings()
def artifacts(
    config: Config,
    artifact: Annotated[
        str, typer.Argument(help="One artifact, NAME or NAME:VERSION, to list its files; all when left out.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the artifacts with their versions, or the files of one."""
    from sightline.terminal import render_artifact, render_artifacts

    tracker = _tracker(config)
    found = [tracker.get(artifact)] if artifact else tracker.artifacts()
    if as_json:
        _print_json([each.to_dict() for each in found])
    elif artifact:
        print_parts(render_artifact(found[0]))
    elif found:
        print_parts(render_artifacts(found))
    else:
        say(f"No artifacts in {config.store} yet. `sightline run` makes some.")


@command(epilog="Try: sightline flags data:v0 --csv to-repair.csv")
@with_settings(names=(*STORE, "data", "name"))
def flags(
    config: Config,
    dataset: Annotated[str, typer.Argument(help="The dataset, NAME:VERSION; the latest when left out.")] = "",
    csv: Annotated[str, typer.Option(metavar="FILE", help="Write them as CSV, for the people who relabel.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the images that were flagged in the viewer: wrong labels, duplicates, interesting ones."""
    from sightline.marks import Flags
    from sightline.stages.stage import dataset_name

    tracker = _tracker(config)
    raw = tracker.get(dataset or dataset_name(config, tracker))
    found = Flags(tracker.store, raw)
    if csv:
        typer.echo(found.write_csv(Path(csv)))
    elif as_json:
        _print_json([one.to_dict() for one in found.all()])
    elif listed := found.all():
        from sightline.terminal import render_flags

        print_parts(render_flags(listed))
    else:
        say(f"No image of {raw.spec} is flagged. `sightline ui` is where images are looked at and flagged.")


@command("export-view", epilog="Try: sightline export-view 'has=person&iou=person::0.3' --out persons.html")
@with_settings()
def export_view(
    config: Config,
    query: Annotated[
        str, typer.Argument(help="The query string of an address of the viewer, or the address; all images when empty.")
    ] = "",
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("view.html"),
    data: Annotated[str, typer.Option(help="The dataset, NAME:VERSION; that of the query, else the latest.")] = "",
    run: Annotated[
        str, typer.Option(help="The evaluation, NAME_eval:VERSION; that of the query, else the newest.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=20_000, help="At most so many images.")] = 500,
    yes: Annotated[bool, typer.Option("--yes", help="Write it without asking, however large it is.")] = False,
) -> None:
    """Write a selection of images as one HTML file: small pictures, masks, predictions, IoUs. It opens offline."""
    from sightline.console import progress
    from sightline.viewer import export
    from sightline.viewer.viewer import Viewer

    view, pictures = export.view_of(Viewer(config, _tracker(config)), query, data, run, limit, newest=True)
    size = export.estimate(view, pictures)
    say(f"export-view: {len(view.tiles)} of {view.matched} images, about {export.megabytes(size)}")
    _confirm(size, export.ASK_ABOVE, yes)
    with progress("writing", len(view.tiles)) as step:
        export.write(view, pictures, out, step)
    typer.echo(out)


def _confirm(size: int, most: int, yes: bool) -> None:
    """Ask before a large file is written; ConfigError where there is nobody to ask."""
    if size <= most or yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"A file of {size / 1e6:,.0f} MB: say --yes to write it, or take fewer images with --limit.")
    if not typer.confirm("Write it?"):
        raise typer.Exit(1)


@command(epilog="Try: sightline ui --port 8000")
@with_settings(names=("store", "project"))
def ui(
    config: Config,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines can reach any but loopback.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 7860, or a free one, when left out.")
    ] = None,
) -> None:
    """Look at data, splits, runs and mistakes in the browser; trackio's dashboard is there too. Ctrl-C ends it."""
    from sightline.viewer.serve import serve

    serve(config, _tracker(config), host, port)


def _tracker(config: Config) -> Tracker:
    from sightline.tracking import open_tracker

    return open_tracker(config)


def _page(config: Config, page: Artifact) -> Path:
    """Where the report lies for people to open."""
    return Path(config.store) / "reports" / f"{page.name}.html"


def _print_spec(artifact: Artifact) -> None:
    typer.echo(artifact.spec)


def _print_evaluation(evaluation: Artifact) -> None:
    from sightline.classes import ClassMap
    from sightline.terminal import render_evaluation

    print_parts(render_evaluation(evaluation.json("summary.json"), ClassMap.from_dict(evaluation.json("classes.json"))))


def _print_json(value: Any) -> None:
    from sightline.tracking.plain import plain

    typer.echo(json.dumps(plain(value), indent=1, default=str))


def _fail(text: str, code: int) -> None:
    from rich.console import Console

    if not speaks():
        raise typer.Exit(code)
    Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(f"Error: {text}", markup=False)
    raise typer.Exit(code)
