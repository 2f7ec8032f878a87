"""The command line as a user meets it: what is printed where, exit codes, files; on one small project that is whole."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

import sightline
from sightline import cli
from sightline.config import Config, Data, Split, commented_yaml, load_config, to_dict
from sightline.console import console
from sightline.errors import SightlineError
from sightline.sample import make_dataset
from sightline.stages.train import deciding
from sightline.table import Table
from sightline.tracking import open_tracker

SETTINGS = """
context: {goal: See bicycles}
problem: {target_iou: {road: 0.99}}
data: {data: d}
split: {folds: 4, stratify: [], gap: 0}
train: {pretrained: false, epochs: 1, image_size: [64, 96], batch_size: 4}
evaluate: {resamples: 100}
report: {examples: 1}
workers: 1
"""
STAGES = {"ingest": "d:v0", "split": "d_split:v0", "train": "d_model:v0", "report": ".sightline/reports/d_report.html"}
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def process(*arguments, folder, **environment):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "sightline", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A project after `sightline run`, and what that printed."""
    folder = tmp_path_factory.mktemp("walked")
    make_dataset(folder / "d", drives=8, frames=2, size=(96, 160), workers=1)
    (folder / "sightline.yaml").write_text(SETTINGS)
    done = process("run", folder=folder)
    assert done.returncode == 0, done.stderr.decode()
    return folder, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def project(walked, monkeypatch):
    """The working directory is a project that was walked. Tests leave its store as it is."""
    monkeypatch.chdir(walked[0])
    return walked[0]


@pytest.fixture(autouse=True)
def heard():
    """The console is one for the whole process; `--quiet` must not outlast its test."""
    yield
    console().quiet = False


def run(*arguments, code=0, **environment):
    """The command in this process: what it printed to stdout and to stderr."""
    result = CliRunner().invoke(cli.app, arguments, env=environment or None)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert "Traceback" not in result.stderr
    return result.stdout, result.stderr


# --- what is printed where


def test_the_walk_ends_with_the_table_and_where_the_report_is(walked):
    folder, out, err = walked
    assert out.startswith("IoU on valid (4 images, 2 groups)")
    for name in ("background", "traffic light", "bicycle", "mIoU"):
        assert len([row for row in out.splitlines() if name in row and "always" not in row]) == 1
    assert out.splitlines()[-1] == "Report: .sightline/reports/d_report.html"
    assert (folder / ".sightline/reports/d_report.html").stat().st_size > 10_000
    stages = [line.partition(":")[0] for line in err.splitlines() if ": run " in line]
    assert stages == ["ingest", "split", "train", "evaluate", "report"]
    assert "epoch 1/1" in err


def test_the_walk_again_does_no_work(project):
    before = run("runs", "--json")[0]
    out, err = run("run")
    assert err.splitlines()[-1] == "Nothing to do: every stage is up to date."
    assert out.splitlines()[-1].startswith("Report: ")
    assert run("runs", "--json")[0] == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_prints_what_it_made_and_nothing_else(project, stage):
    out, err = run(stage)
    assert out == STAGES[stage] + "\n"
    assert "up to date" in err
    assert run("--quiet", stage) == run(stage, "--quiet") == run(stage, "-q") == (out, "")


def test_evaluate_prints_its_table_and_what_it_made(project):
    out, _ = run("evaluate")
    assert out.startswith("IoU on valid")
    assert out.splitlines()[-1] == "d_eval:v0"


def test_inputs_can_be_named(project):
    assert run("split", "--raw", "d:v0")[0] == "d_split:v0\n"
    assert run("train", "--split", "d_split:latest")[0] == "d_model:v0\n"
    assert run("evaluate", "--model", "d_model")[0].endswith("d_eval:v0\n")
    assert run("evaluate", "--model", "d_model:best")[0].endswith("d_eval:v0\n")
    assert run("report", "--evaluation", "d_eval:v0")[0] == STAGES["report"] + "\n"
    for stage, flag in (("split", "--raw"), ("train", "--split"), ("evaluate", "--model"), ("report", "--evaluation")):
        _, err = run(stage, flag, "nothing:v3", code=7)
        assert "There is no artifact nothing:v3" in err


def test_settings_are_saved_with_a_run_as_they_were_given(project, tmp_path):
    store = ("--store", str(tmp_path / "store"))
    run("ingest", "--limit", "12", "--on-error", "skip", "--name", "few", *store)
    run("split", "--name", "few", "--folds", "3", "--test-folds", "", "--valid-folds", "0,2", "--stratify", "road",
        "--gap", "2", "--near-duplicate", "0", "--seed", "5", *store)  # fmt: skip
    upload, deal = json.loads(run("runs", "--json", *store)[0])
    assert upload["config"]["data"] == to_dict(Data(data="d", name="few", limit=12, on_error="skip"))
    given = Split(folds=3, test_folds=(), valid_folds=(0, 2), stratify=("road",), gap=2, near_duplicate=0)
    assert {key: deal["config"][key] for key in to_dict(given)} == to_dict(given)
    assert deal["config"]["seed"] == 5
    trained = next(one for one in json.loads(run("runs", "--json")[0]) if one["job_type"] == "training")
    assert trained["config"]["train"] == deciding(load_config(project / "sightline.yaml").train)


# --- looking at what there is


def test_show_prints_rows_and_what_the_table_holds(project):
    out, err = run("show", "d", "--limit", "3")
    assert not err
    assert "3 of 16 rows" in out
    assert "16 images · 8 groups · 8 drives · 160×96" in out
    assert "Images in which classes occur together" in out
    assert run("show", "d/eda_table.parquet", "--limit", "3")[0] == run("show", "d:v0", "--limit", "3")[0] == out
    assert "rows" not in run("show", "d", "--limit", "0")[0]
    assert "Subsets" in run("show", "d_split", "--limit", "0")[0]
    assert "Worst images" in run("show", "d_eval", "--limit", "0")[0]
    assert "all_images" in run("show", "d_split/class_shares.parquet")[0]


def test_show_filters_sorts_and_chooses_columns(project):
    everything = json.loads(run("show", "d", "--json")[0])["rows"]
    found = json.loads(run("show", "d", "--json", "--where", "bicycle = 1", "--sort", "road_share DESC")[0])
    wanted = [row for row in everything if row["bicycle"]]
    assert 0 < len(wanted) < len(everything)
    assert [row["File_Name"] for row in found["rows"]] == [
        row["File_Name"] for row in sorted(wanted, key=lambda row: -row["road_share"])
    ]
    assert found["summary"]["images"] == len(wanted)
    assert len(json.loads(run("show", "d", "--json", "--limit", "2")[0])["rows"]) == 2
    assert json.loads(run("show", "d", "--json", "--limit", "0")[0])["rows"] == []
    out = run("show", "d", "--columns", "Width, File_Name", "--limit", "1")[0]
    assert out.splitlines()[1].split() == ["Width", "File_Name"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--where", "Nope = 1"), 2, "Nope"),
        (("--where", "1=1; DROP TABLE rows"), 2, "Not one expression"),
        (("--sort", "Brightness; SELECT 1"), 2, "Not one SELECT query"),
        (("--sort", "Group"), 2, 'so does "Group"'),
        (("--columns", "Nope"), 2, "There is no column Nope. The columns are: File_Name"),
        (("--limit", "-1"), 2, "--limit"),
    ],
)
def test_show_says_what_is_wrong_with_a_query(project, arguments, code, said):
    out, err = run("show", "d", *arguments, code=code)
    assert not out
    assert said in err


def test_show_cuts_nothing_where_there_is_no_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a/" + "very-" * 100 + "long.jpg"
    columns = {"File_Name": [name], **{f"a_column_of_a_long_name_{i}": [f"value {i}"] for i in range(40)}}
    Table(pa.table(columns)).write(Path("wide.parquet"))
    out = run("show", "wide.parquet", COLUMNS="60")[0]
    header, _, row = (line.strip() for line in out.splitlines()[1:4])
    assert header.split() == list(columns)
    assert re.split(r" {2,}", row) == [name, *(f"value {i}" for i in range(40))]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("command", ["show d", "show d_eval", "runs", "artifacts", "artifacts d_model", "evaluate -q"])
def test_output_fits_a_terminal(project, command, width):
    out = run(*command.split(), COLUMNS=str(width), FORCE_COLOR="1", TERM="xterm")[0]
    lines = ANSI.sub("", out).splitlines()
    assert "\x1b[" in out or command.startswith("artifacts")
    assert max(map(len, lines)) <= width
    assert len(lines) > 5


def test_runs_and_artifacts_list_what_there_is(project):
    out, err = run("runs")
    assert not err
    for name in ("upload-1", "data_split-1", "training-1", "evaluation-1", "report-1"):
        assert len([line for line in out.splitlines() if f" {name} " in line and "finished" in line]) == 1
    records = json.loads(run("runs", "--json")[0])
    assert [record["outputs"] for record in records] == [
        ["d:v0"], ["d_split:v0"], ["d_model:v0"], ["d_eval:v0"], ["d_report:v0"],
    ]  # fmt: skip
    out, _ = run("artifacts")
    found = json.loads(run("artifacts", "--json")[0])
    assert sorted(each["name"] for each in found) == ["d", "d_eval", "d_model", "d_report", "d_split"]
    assert all(f"{each['name']}:v0 " in out and each["digest"][:12] in out for each in found)


def test_artifacts_lists_the_files_of_one(project):
    out, _ = run("artifacts", "d_model")
    (model,) = json.loads(run("artifacts", "d_model:v0", "--json")[0])
    assert set(model["files"]) == {"weights.safetensors", "config.json", "classes.json", "history.csv"}
    for path, file in model["files"].items():
        assert re.search(rf"{path} +{file['size']} +{file['digest']}", out)


def test_nothing_there_yet_is_said_on_stderr(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("runs") == ("", "No runs in .sightline yet. `sightline run` makes some.\n")
    assert run("artifacts") == ("", "No artifacts in .sightline yet. `sightline run` makes some.\n")
    assert run("runs", "-q") == ("", "")
    assert run("runs", "--json")[0] == run("artifacts", "--json")[0] == "[]\n"


# --- the smaller commands


def test_version_and_module():
    assert run("--version") == (f"sightline {sightline.__version__}\n", "")
    assert process("--version", folder=Path()).stdout.decode() == f"sightline {sightline.__version__}\n"


def test_without_a_command_the_help_is_shown():
    out, err = run(code=2)
    assert not out
    assert "Usage: sightline" in err
    for command in ("run", "ingest", "split", "train", "evaluate", "report", "show", "sample", "init"):
        assert re.search(rf"^  {command} ", err, re.MULTILINE)


def test_sample_draws_and_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = ("--width", "96", "--height", "64")
    assert run("sample", "s", "--drives", "2", "--frames", "3", *size)[0] == "s\n"
    assert len(list(Path("s/images").iterdir())) == len(list(Path("s/labels").iterdir())) == 6
    bytes_before = {path: path.read_bytes() for path in Path("s").rglob("*.*")}
    shutil.rmtree("s")
    assert run("sample", "s", "--drives", "2", "--frames", "3", *size, "-q") == ("s\n", "")
    assert {path: path.read_bytes() for path in Path("s").rglob("*.*")} == bytes_before
    assert "another sample" in run("sample", "s", "--drives", "1", "--frames", "1", *size, code=3)[1]
    run("sample", "s", "--drives", "1", "--frames", "1", "--seed", "7", "--force", *size)
    assert len(list(Path("s/images").iterdir())) == 1
    assert "64 to 8192" in run("sample", "t", "--width", "10", code=2)[1]


def test_init_writes_every_setting_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("init") == ("sightline.yaml\n", "")
    assert Path("sightline.yaml").read_text() == commented_yaml()
    assert load_config() == Config()
    Path("sightline.yaml").write_text("seed: 3\n")
    assert "There is a sightline.yaml already. Replace it with --force." in run("init", code=2)[1]
    assert load_config().seed == 3
    run("init", "--force")
    assert load_config() == Config()


# --- mistakes


MISTAKES = {
    "no command": (("nonsense",), 2, "No such command 'nonsense'"),
    "unknown flag": (("run", "--nonsense"), 2, "No such option: --nonsense"),
    "wrong value": (("train", "--epochs", "0"), 2, "train.epochs is 0, but should be greater than or equal to 1"),
    "missing file": (("run", "--config", "nowhere.yaml"), 2, "There is no nowhere.yaml"),
    "unknown preset": (
        ("ingest", "--preset", "nonsense"),
        2,
        "There is no preset 'nonsense'. The presets are: bdd-simple",
    ),
    "a file for a folder": (("ingest", "--data", "sightline.yaml"), 3, "sightline.yaml is no folder"),
    "no Parquet": (("show", "sightline.yaml"), 3, "sightline.yaml cannot be read"),
    "unknown dataset": (("ingest", "--data", "nonsense"), 4, "Datasets known by name: bdd-simple-1k"),
    "too few groups": (("split", "--folds", "50"), 5, "8 groups cannot be dealt to 50 folds"),
    "missing weights": (("train", "--weights", "nowhere.safetensors"), 6, "There is no file nowhere.safetensors"),
    "unknown artifact": (("artifacts", "nonsense"), 7, "There is no artifact nonsense"),
    "no table in it": (("show", "d_model"), 7, "d_model:v0 holds no table"),
    "a store that is a file": (("ingest", "--store", "sightline.yaml"), 7, "sightline.yaml"),
    "unknown table": (("show", "d_eval_test"), 7, "There are: d:v0, d_eval:v0, d_model:v0, d_report:v0, d_split:v0"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_on_stderr_with_an_exit_code_of_its_kind(project, case):
    arguments, code, said = MISTAKES[case]
    out, err = run(*arguments, code=code)
    assert not out
    assert said in " ".join(err.replace("│", " ").split())


def test_errors_are_told_in_spite_of_quiet(project):
    assert "There is no artifact nonsense" in run("-q", "artifacts", "nonsense", code=7)[1]


def test_exit_codes_tell_the_kinds_of_errors_apart():
    codes = [kind.exit_code for kind in (SightlineError, *SightlineError.__subclasses__())]
    assert len(set(codes)) == len(codes)
    assert not {0, 130} & set(codes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "sightline.yaml is no YAML"),
        ("train: {lerning_rate: 3}", "train.lerning_rate: there is no such setting"),
        ("train: {epochs: ten}\nseeed: 3", "2 settings do not fit, in sightline.yaml:"),
        ("train: 3", "train is 3, but should be a section of settings"),
    ],
)
@pytest.mark.parametrize("command", ["run", "train", "runs", "show"])
def test_every_command_tells_what_is_wrong_with_the_file(tmp_path, monkeypatch, command, text, said):
    monkeypatch.chdir(tmp_path)
    Path("sightline.yaml").write_text(text)
    out, err = run(command, *(["d"] if command == "show" else []), code=2)
    assert not out
    assert said in err
    assert list(tmp_path.iterdir()) == [tmp_path / "sightline.yaml"]  # and no store was made


def test_markup_and_emoji_in_names_are_text(project):
    assert "There is no artifact [red]:car:[/red]" in run("artifacts", "[red]:car:[/red]", code=7)[1]


# --- the world outside


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("command", ["runs --json", "artifacts", "show d"])
def test_a_full_disk_under_the_output_is_one_line(walked, command):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sightline", *command.split()], cwd=walked[0], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 7
    assert (
        done.stderr.strip()
        == "Error: No space left on device. Free some space, or write to another disk (--store, --out)."
    )


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with read_only(tmp_path):
        assert "cannot be written: Permission denied" in run("init", code=2)[1]
        assert "cannot be written" in run("sample", "s", "--drives", "1", "--frames", "1", code=3)[1]
        assert len(run("runs", "--store", "s/t")[1].splitlines()) == 1


@contextlib.contextmanager
def read_only(folder):
    folder.chmod(0o555)
    try:
        (folder / "probe").touch()
    except PermissionError:
        yield
    else:
        (folder / "probe").unlink()
        pytest.skip("this user may write everywhere")
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("command", ["show d --json", "show d", "runs", "--help"])
def test_a_reader_that_goes_away_is_no_error(walked, command):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sightline", *command.split()], cwd=walked[0], stdout=writing,
            stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("command", ["evaluate", "show d", "artifacts x–y", "train --help"])
def test_any_encoding_of_the_terminal_will_do(walked, command, encoding):
    done = process(*command.split(), folder=walked[0], PYTHONIOENCODING=encoding)
    text = done.stdout.decode(encoding) + done.stderr.decode(encoding)  # whole, or this raises
    assert "Traceback" not in text
    assert done.returncode == (7 if "x–y" in command else 0)
    if command == "show d":
        assert ("160x96" if encoding == "ascii" else "160×96") in text
    if "x–y" in command:
        assert f"There is no artifact {'x–y' if encoding == 'utf-8' else 'x-y'} in" in text
    if command == "evaluate":
        dash = "–" if encoding == "utf-8" else "-"
        assert re.search(rf"mIoU[ |]+[0-9.]+[ |]+{dash}[ |]+[0-9.]+", text)  # no interval of two groups


def interrupted(folder, begun, *arguments):
    """Ctrl-C once the command has begun: exit code, stdout, stderr."""
    command = [sys.executable, "-m", "sightline", *arguments]
    running = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 120
    while not begun() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


def test_ctrl_c_while_training_is_one_line_and_the_run_says_so(walked, tmp_path):
    shutil.copytree(walked[0], tmp_path / "p")
    store = tmp_path / "p/.sightline"

    def training():
        return any((store / "checkpoints").glob("*/*"))

    code, out, err = interrupted(tmp_path / "p", training, "train", "--epochs", "500")
    assert (code, out) == (130, "")
    said = [
        line for line in err.splitlines() if "epoch" not in line and "train: run" not in line and "unet" not in line
    ]
    assert said == [
        "Error: Interrupted. What is finished is kept; the same command goes on from there (`train` with --resume)."
    ]
    tracker = open_tracker(load_config(None, {"store": str(store)}))
    last = tracker.runs()[-1]
    assert (last.job_type, last.status, last.error) == ("training", "failed", "interrupted")
    assert last.resumable


def test_ctrl_c_while_drawing_is_one_line_and_keeps_what_is_drawn(tmp_path):
    size = ("--drives", "30", "--frames", "8", "--width", "640", "--height", "360", "--workers", "1")
    images = tmp_path / "s/images"
    code, out, err = interrupted(tmp_path, lambda: any(images.glob("*.jpg")), "sample", "s", *size)
    assert (code, out) == (130, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: Interrupted.")
    assert 0 < len(list(images.glob("*.jpg"))) < 240
