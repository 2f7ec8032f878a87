"""The commands `predict` and `export`: they parse and call, as those in `cli.py` do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.config import Config
from sightline.flags import STORE, with_settings

MODEL_NAMES = (*STORE, "data", "name")
"""Settings that say where a model is kept, and which is the latest of the dataset."""


@with_settings(names=(*MODEL_NAMES, "device", "on_error"))
def predict(
    config: Config,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT", help="Images, folders of images, videos.", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(help="The model: NAME_model:VERSION, an alias (staging, best) or FILE.onnx; else the latest."),
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("predictions"),
    overlays: Annotated[bool, typer.Option(help="Images with the classes' colours laid over them.")] = True,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Share of the colours in the overlays.")] = 0.5,
    confidence: Annotated[
        bool,
        typer.Option("--confidence", help="The highest softmax probability of each pixel, as 8-bit PNG (255 is 1)."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images to predict at once.")] = 8,
    every: Annotated[int, typer.Option(min=1, help="Of videos, every so many-th frame.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Do again what is there, and replace predictions of another model.")
    ] = False,
) -> None:
    """Predict images and videos of your own: masks, overlays, and a table."""
    from sightline.console import print_parts
    from sightline.prediction.predict import predict as work
    from sightline.summary import summarise
    from sightline.terminal import render

    table = work(
        config, inputs, model=model or None, out=out, overlays=overlays, opacity=opacity, confidence=confidence,
        batch_size=batch_size, every=every, force=force,
    )  # fmt: skip
    print_parts(render(summarise(table)))
    typer.echo(out)


@with_settings(names=MODEL_NAMES)
def export(
    config: Config,
    onnx: Annotated[Path, typer.Option(help="The ONNX file to write.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="The model: NAME_model:VERSION or an alias (staging, best); the latest when left out.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a model with its preprocessing as an ONNX file, and compare it with PyTorch."""
    from sightline.prediction.export import export_onnx

    typer.echo(export_onnx(config, onnx, model=model or None, force=force).path)
