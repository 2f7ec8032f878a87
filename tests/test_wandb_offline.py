"""The W&B mirror offline: all that it wrote is read back from the runs' own `.wandb` files and the staged artifacts."""

import hashlib
import io
import json
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

wandb = pytest.importorskip("wandb")
from wandb_broken import broken_off, gone_on_with  # noqa: E402
from wandb_records import wandb_runs  # noqa: E402

from sightline.classes import ROAD_SCENE  # noqa: E402
from sightline.cli import app  # noqa: E402
from sightline.config import load_config  # noqa: E402
from sightline.sample import make_dataset  # noqa: E402
from sightline.table import KEY  # noqa: E402
from sightline.tracking import open_tracker  # noqa: E402

NAMES = ROAD_SCENE.names
SNAKES = [name.replace(" ", "_") for name in NAMES]
SETTINGS = """
data: {data: scenes}
split: {folds: 3, stratify: []}
train: {pretrained: false, epochs: 2, image_size: [64, 96], batch_size: 4}
evaluate: {resamples: 100}
report: {examples: 1}
workers: 0
wandb: {project: mirrored, entity: team, group: night, tags: [first, try]}
"""


def offline(patched, folder):
    """The SDK in a folder of its own, as if it had never been used."""
    wandb.teardown()
    places = {name: str(folder / "sdk" / name) for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "DIR")}
    for name, value in {"MODE": "offline", "SILENT": "true", **places}.items():
        patched.setenv(f"WANDB_{name}", value)
    (folder / "sdk" / "DIR").mkdir(parents=True)


def project(folder, **told):
    """A project with a small sample of scenes."""
    folder.mkdir(exist_ok=True)
    make_dataset(folder / "scenes", drives=6, frames=2, size=(96, 160), workers=1)
    (folder / "sightline.yaml").write_text(SETTINGS)
    return folder


def sightline(patched, folder, *arguments):
    """The command line, in a project's folder; W&B's files are whole afterwards."""
    patched.chdir(folder)
    done = CliRunner().invoke(app, list(arguments))
    wandb.teardown()
    return done


class Walked:
    """What a walk left: the store, and the W&B runs by the id of the local run."""

    def __init__(self, folder, said):
        self.folder, self.said = folder, said
        self.config = load_config(folder / "sightline.yaml", {"store": str(folder / ".sightline")})
        self.tracker = open_tracker(self.config)
        self.runs = wandb_runs(folder)

    def record(self, job_type):
        (found,) = [record for record in self.tracker.runs() if record.job_type == job_type]
        return found

    def parts(self, job_type):
        """The `.wandb` files of a run: one for each time that it was open."""
        return [run for run in self.runs if run.run.run_id == self.record(job_type).id]

    def logged(self, job_type, name):
        (found,) = [one for run in self.parts(job_type) for one in run.artifacts if one.name == name]
        return found


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("offline") / "project")
    with pytest.MonkeyPatch.context() as patched:
        offline(patched, folder)
        done = sightline(patched, folder, "run", "--wandb")
    assert done.exit_code == 0, done.output
    return Walked(folder, done.output)


JOBS = {"upload": "scenes", "data_split": "scenes_split", "training": "scenes_model", "evaluation": "scenes_eval"}


def pixels(content):
    return np.array(Image.open(io.BytesIO(content)))


def table_of(artifact, name):
    """(columns, rows as mappings) of a table in an artifact."""
    found = artifact.json(f"{name}.table.json")
    assert (found["_type"], found["nrows"]) == ("table", len(found["data"]))
    return found["columns"], [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


def class_labels(artifact, image):
    """The names of the classes that an image of a table is shown with, by index."""
    entries = artifact.json(image["classes"]["path"])["class_set"]
    return {entry["id"]: entry["name"] for entry in entries}


@pytest.mark.parametrize("job_type", [*JOBS, "report"])
def test_each_run_has_its_job_type_settings_group_and_tags(walked, job_type):
    record = walked.record(job_type)
    run = walked.parts(job_type)[0]
    told = run.run
    assert (told.project, told.entity, told.run_group) == ("mirrored", "team", "night")
    assert (told.job_type, told.display_name, sorted(told.tags)) == (job_type, record.name, ["first", "try"])
    assert {key: run.config[key] for key in record.config} == json.loads(json.dumps(dict(record.config)))
    assert [part.exit_code for part in walked.parts(job_type)] == [0] * len(walked.parts(job_type))


def test_no_run_is_mirrored_but_those_of_the_store(walked):
    assert {run.run.run_id for run in walked.runs} == {record.id for record in walked.tracker.runs()}


def test_the_training_logs_each_epoch_under_the_names_of_the_course(walked):
    rows = [row for row in walked.parts("training")[0].history if "train_loss" in row]
    history = walked.tracker.get("scenes_model").path("history.csv").read_text().splitlines()
    names = history[0].split(",")
    assert len(rows) == len(history) - 1 == 2
    for row, line in zip(rows, history[1:], strict=True):
        local = {name.replace(" ", "_"): value for name, value in zip(names, line.split(","), strict=True) if value}
        assert {"train_loss", "valid_loss", "miou", "lr"} < set(local)
        for name, value in local.items():
            assert row[name] == pytest.approx(float(value)), name
        assert {name for name in row if name.endswith("_iou")} == {name for name in local if name.endswith("_iou")}
    assert {name for row in rows for name in row if name.endswith("_iou")} <= {f"{name}_iou" for name in SNAKES}


def test_final_numbers_stand_in_the_summary_of_evaluation_and_training(walked):
    local = {key.replace(" ", "_"): value for key, value in walked.record("evaluation").summary.items()}
    finals = {key: value for key, value in local.items() if key.startswith("final_")}
    assert {"final_loss", "final_miou", "final_road_iou"} <= set(finals)
    for job_type in ("evaluation", "training"):
        summary = {key: value for run in walked.parts(job_type) for key, value in run.summary.items()}
        assert {key: summary[key] for key in finals} == pytest.approx(finals), job_type


@pytest.mark.parametrize("job_type", JOBS)
def test_an_artifact_holds_the_same_files_as_the_local_one(walked, job_type):
    local = walked.tracker.get(JOBS[job_type])
    mirrored = walked.logged(job_type, local.name)
    assert mirrored.type == local.type
    for path, file in local.files.items():
        assert hashlib.sha256(mirrored.bytes(path)).hexdigest() == file.digest, path


@pytest.mark.parametrize("job_type", JOBS)
def test_an_artifacts_metadata_names_the_local_version_and_digest(walked, job_type):
    local = walked.tracker.get(JOBS[job_type])
    metadata = walked.logged(job_type, local.name).metadata
    assert (metadata["local_version"], metadata["local_digest"]) == (local.spec, local.digest)
    assert {key: metadata[key] for key in local.metadata} == dict(local.metadata)


def test_the_first_model_is_latest_and_best(walked):
    for job_type, name in JOBS.items():
        own = f"local-{walked.tracker.get(name).digest[:12]}"  # by which the input of a later run is found
        expected = ["latest", own] if name != "scenes_model" else ["best", "latest", own]
        assert walked.logged(job_type, name).aliases == expected


def test_the_eda_table_is_that_of_the_course(walked):
    local = {row[KEY]: row for row in walked.tracker.get("scenes").table("eda_table.parquet").rows()}
    columns, rows = table_of(walked.logged("upload", "scenes"), "eda_table")
    assert columns[:3] == ["File_Name", "Images", "Split"]
    assert columns[3 : 3 + len(NAMES)] == list(NAMES)
    assert {row["File_Name"] for row in rows} == set(local)
    for row in rows:
        same = local[row["File_Name"]]
        assert row["Split"] == same["Split"] == "None"
        assert {name: row[name] for name in NAMES} == {name: same[name] for name in NAMES}


def test_images_are_the_original_files_and_masks_the_datasets_pixels(walked):
    artifact = walked.logged("upload", "scenes")
    for row in table_of(artifact, "eda_table")[1]:
        image, file = row["Images"], walked.folder / "scenes" / "images" / row["File_Name"]
        assert (image["_type"], image["format"], image["width"], image["height"]) == ("image-file", "jpg", 160, 96)
        assert artifact.bytes(image["path"]) == file.read_bytes()
        assert image["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        mask = pixels(artifact.bytes(image["masks"]["ground_truth"]["path"]))
        original = np.array(Image.open(walked.folder / "scenes" / "labels" / f"{file.stem}_mask.png"))
        assert np.array_equal(mask, original)
        labels = class_labels(artifact, image)
        assert {index: labels[index] for index in range(len(NAMES))} == dict(enumerate(NAMES))
        assert set(np.unique(mask).tolist()) <= set(labels)


def test_the_split_joins_two_tables_on_the_file_name(walked):
    artifact = walked.logged("data_split", "scenes_split")
    joined = artifact.json("eda_table_data_split.joined-table.json")
    assert (joined["_type"], joined["join_key"]) == ("joined-table", "File_Name")
    tables = [artifact.json(joined[side]) for side in ("table1", "table2")]
    eda, split = ([dict(zip(one["columns"], row, strict=True)) for row in one["data"]] for one in tables)
    local = walked.tracker.get("scenes_split")
    lines = local.path("data_split.csv").read_text().splitlines()
    assert {(row["File_Name"], row["Stage"]) for row in split} == {tuple(line.split(",")) for line in lines[1:]}
    assert {"File_Name", "Images", "Split", *NAMES} <= set(eda[0])
    assert {row["File_Name"] for row in split} <= {row["File_Name"] for row in eda}
    for row in eda:
        assert (
            artifact.bytes(row["Images"]["path"])
            == (walked.folder / "scenes" / "images" / row["File_Name"]).read_bytes()
        )


def predicted(walked, artifact, rows):
    """The rows of a prediction table are the local one's: numbers, images and both masks."""
    tracker, local = walked.tracker, walked.tracker.get("scenes_eval")
    same = {row[KEY]: row for row in local.table("pred_table.parquet").rows()}
    assert {row["File_Name"] for row in rows} == set(same)
    for row in rows:
        for name in NAMES:
            value = same[row["File_Name"]][f"{name}_iou"]
            assert row[f"{name} IoU"] == (None if value is None else pytest.approx(value))
        image = row["Image"]
        assert set(image["masks"]) == {"predictions", "ground_truth"}
        prediction = np.array(Image.open(local.path(same[row["File_Name"]]["Prediction"])))
        truth = np.array(Image.open(tracker.get("scenes").path(f"labels/{row['File_Name'][:-4]}_mask.png")))
        for key, mask in (("predictions", prediction), ("ground_truth", truth)):
            assert np.array_equal(pixels(artifact.bytes(image["masks"][key]["path"])), mask), key
        assert artifact.bytes(image["path"]) == (walked.folder / "scenes" / "images" / row["File_Name"]).read_bytes()


def test_the_prediction_table_has_both_masks_and_the_iou_of_each_class(walked):
    artifact = walked.logged("evaluation", "scenes_eval")
    columns, rows = table_of(artifact, "pred_table")
    assert {"File_Name", "Image", *(f"{name} IoU" for name in NAMES)} <= set(columns)
    predicted(walked, artifact, rows)


def test_the_training_run_has_the_prediction_table_too(walked):
    (run,) = [run for run in walked.parts("training") if "pred_table" in run.summary]
    (artifact,) = run.run_tables
    predicted(walked, artifact, table_of(artifact, "pred_table")[1])


SHOWN = {
    "upload": ("eda_table", "table-file"),
    "data_split": ("eda_table_data_split", "joined-table"),
    "training": ("pred_table", "table-file"),
    "evaluation": ("pred_table", "table-file"),
}


@pytest.mark.parametrize("job_type", SHOWN)
def test_the_tables_are_logged_in_the_runs_too(walked, job_type):
    name, kind = SHOWN[job_type]
    (run,) = [run for run in walked.parts(job_type) if name in run.summary]
    assert run.summary[name]["_type"] == kind
    if kind == "table-file":
        found = run.table(name)
        assert found["columns"][0] == "File_Name"
        assert run.summary[name]["nrows"] == len(found["data"]) > 0
        assert run.summary[name]["path"] in run.files


def test_the_user_is_told_where_each_run_is_and_of_nothing_wrong(walked):
    said = "".join(walked.said.split())  # a folder's name may be broken over lines
    for run in walked.runs:
        assert run.folder.name in said
    assert "Warning" not in said


def test_the_best_model_so_far_gets_the_alias(tmp_path, monkeypatch):
    offline(monkeypatch, tmp_path)
    tracker = open_tracker(load_config(None, {"store": str(tmp_path / "store"), "tracker": "wandb"}))
    told = {"split": {"digest": "same"}, "canvas": [64, 96], "train": {"recipe": "default"}}
    for number, miou in enumerate((0.5, 0.4, 0.6)):
        with tracker.run("training", config={}) as run:
            (run.scratch / "config.json").write_text(json.dumps({**told, "seed": number}))
            run.save("roads", "model", {"config.json": run.scratch / "config.json"}, {"best_miou": miou})
    wandb.teardown()
    aliases = [[alias for alias in artifact.aliases if not alias.startswith("local-")]
               for run in wandb_runs(tmp_path) for artifact in run.artifacts]  # fmt: skip
    assert aliases == [["best", "latest"], ["latest"], ["best", "latest"]]


@pytest.mark.parametrize("signals", [["SIGKILL"], ["SIGINT"], ["SIGINT", "SIGKILL"], ["SIGKILL", "SIGINT"]])
def test_a_training_that_goes_on_has_every_epoch_once(tmp_path, monkeypatch, signals):
    offline(monkeypatch, tmp_path)
    store = tmp_path / "store"
    for name in signals:  # what a killed process had told the SDK is lost, whatever the SDK had taken
        assert broken_off(store, name) != 0
    tracker, last = gone_on_with(store)
    wandb.teardown()
    runs = wandb_runs(store)
    assert [row["_step"] for one in runs for row in one.history] == list(range(1, last + 1))
    assert [one.exit_code for one in runs] == [1] * signals.count("SIGINT") + [0]
    assert (len(tracker.runs()), runs[-1].summary["miou"]) == (1, last / 8)


def test_rows_beyond_what_wandb_takes_are_left_out_and_told(tmp_path, monkeypatch):
    folder = project(tmp_path / "project")
    offline(monkeypatch, folder)
    monkeypatch.setattr(wandb.Table, "MAX_ARTIFACT_ROWS", 7)
    done = sightline(monkeypatch, folder, "ingest", "--wandb")
    assert done.exit_code == 0, done.output
    assert "first 7 of 12 rows" in " ".join(done.output.split())
    artifact = Walked(folder, done.output).logged("upload", "scenes")
    assert len(table_of(artifact, "eda_table")[1]) == 7
    assert len([path for path in artifact.manifest if path.startswith("images/")]) == 12


def test_a_failed_run_ends_with_an_exit_code(tmp_path, monkeypatch):
    folder = project(tmp_path / "project")
    mask = next((folder / "scenes" / "labels").iterdir())
    mask.write_bytes(mask.read_bytes()[:50])
    offline(monkeypatch, folder)
    done = sightline(monkeypatch, folder, "ingest", "--wandb")
    assert done.exit_code not in (0, None)
    (run,) = wandb_runs(folder)
    assert (run.run.job_type, run.exit_code) == ("upload", 1)
    assert run.artifacts == []


def test_references_name_files_on_this_disk_and_copy_none(tmp_path, monkeypatch):
    folder = project(tmp_path / "project")
    offline(monkeypatch, folder)
    done = sightline(monkeypatch, folder, "ingest", "--wandb", "--wandb-references")
    assert done.exit_code == 0, done.output
    walked = Walked(folder, done.output)
    local, mirrored = walked.tracker.get("scenes"), walked.logged("upload", "scenes")
    for path, file in local.files.items():
        entry = mirrored.manifest[path]
        assert not entry.local
        assert entry.ref.startswith("file://")
        place = unquote(urlsplit(entry.ref).path)
        with open(place, "rb") as stream:  # noqa: PTH123 - the reference is a plain string
            assert hashlib.file_digest(stream, "sha256").hexdigest() == file.digest
    assert not [path for path in (folder / "sdk").rglob("*") if path.suffix in (".jpg", ".png")]
