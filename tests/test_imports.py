"""What the package gives, and what it does not load to give it: each check in a fresh Python of its own."""

import subprocess
import sys

import pyarrow as pa
import pytest

import sightline
from sightline.classes import ClassMap
from sightline.config import load_config
from sightline.table import Table
from sightline.tracking import open_tracker

LEARNING = {"torch", "torchvision", "fastai", "fastcore", "segmentation_models_pytorch", "sightline.learning.learner"}
SLOW = LEARNING | {"pandas", "sklearn", "optuna", "wandb"}
NOT_FOR_HELP = SLOW | {"pydantic", "trackio", "duckdb", "plotly", "pyarrow", "numpy", "PIL", "yaml", "jinja2", "httpx"}

COMMAND = """
import sys
from sightline.cli import app
try:
    app(sys.argv[1:], standalone_mode=False)
except SystemExit:
    pass
"""
TELL = "\nimport sys\nprint('loaded:', *sys.modules, file=sys.stderr)"


def loaded(code, *arguments, folder):
    """The modules that are loaded after the code, and what it printed."""
    command = [sys.executable, "-c", code + TELL, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said, _, modules = done.stderr.rpartition("loaded: ")
    assert not said
    return set(modules.split()), done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a store that holds an EDA table, a split and a prediction table."""
    folder = tmp_path_factory.mktemp("project")
    tracker = open_tracker(load_config(None, {"store": str(folder / ".sightline")}))
    rows = {"File_Name": ["a.jpg", "b.jpg"], "Group": ["g", "h"], "Width": [2, 2], "Height": [2, 2]}
    classes = {"road": [1, 0], "road_share": [0.5, 0.0], "ignored_share": [0.0, 0.0]}
    tables = {
        "d": ("eda_table.parquet", {**rows, "Split": ["None", "None"], **classes}),
        "d_split": ("eda_table_data_split.parquet", {**rows, "Stage": ["train", "valid"], **classes}),
        "d_eval": ("pred_table.parquet", {"File_Name": ["a.jpg"], "loss": [0.5], "confusion": [[4]]}),
    }
    for name, (path, columns) in tables.items():
        with tracker.run("upload", config={}) as run:
            file = Table(pa.table(columns), ClassMap(("road",))).write(run.scratch / path)
            run.save(name, "raw_data", {path: file})
    return folder


@pytest.mark.parametrize("code", ["import sightline", "import sightline.cli", "import sightline; dir(sightline)"])
def test_importing_loads_nothing_slow(code, tmp_path):
    modules, _ = loaded(code, folder=tmp_path)
    assert "sightline" in modules
    assert not modules & NOT_FOR_HELP


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_loads_nothing_slow(flag, tmp_path):
    modules, text = loaded(COMMAND, flag, folder=tmp_path)
    assert "sightline" in text
    assert not modules & NOT_FOR_HELP


@pytest.mark.parametrize(
    "command", ["run", "train", "evaluate", "report", "predict", "export", "show", "sweep", "compare", "promote"]
)
def test_help_of_a_command_loads_nothing_that_it_works_with(command, tmp_path):
    modules, text = loaded(COMMAND, command, "--help", folder=tmp_path)
    assert f"sightline {command}" in text
    assert not modules & (NOT_FOR_HELP - {"pydantic"})  # with which Typer reads the arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "d"),
        ("show", "d", "--json"),
        ("show", "d_split", "--where", "road = 1", "--sort", "Width DESC"),
        ("show", "d_eval", "--columns", "File_Name,loss"),
        ("runs",),
        ("artifacts",),
        ("artifacts", "d", "--json"),
    ],
)
def test_looking_at_tables_and_runs_needs_neither_torch_nor_pandas(project, arguments):
    modules, text = loaded(COMMAND, *arguments, folder=project)
    assert text.strip()
    assert not modules & SLOW


def test_looking_at_runs_that_are_mirrored_loads_no_wandb(project):
    modules, text = loaded(COMMAND, "runs", "--tracker", "wandb", folder=project)
    assert "upload-1" in text
    assert "wandb" not in modules


def test_stages_of_the_api_load_torch_only_when_they_train(tmp_path):
    code = "from sightline import ingest, split, train, evaluate, report, run, load_config, make_dataset, Table"
    modules, _ = loaded(code, folder=tmp_path)
    assert not modules & LEARNING


def test_every_public_name_is_there_and_no_other():
    assert len(set(sightline.__all__)) == len(sightline.__all__)
    for name in sightline.__all__:
        assert getattr(sightline, name) is not None
    assert set(dir(sightline)) == set(sightline.__all__)
    homes = {name for names in sightline._HOMES.values() for name in names}
    assert homes | {"__version__"} == set(sightline.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = sightline.nonsense


def test_public_functions_are_those_of_the_stages():
    for name in ("ingest", "split", "train", "evaluate", "report"):
        assert getattr(sightline, name).__module__ == f"sightline.stages.{name}"
    assert sightline.run.__module__ == "sightline.stages.pipeline"
