"""The docs against what a walk leaves behind: files, columns, keys; and the examples are run as they stand."""

import csv
import dataclasses
import io
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pages import DATA_FORMAT, METRICS, PYTHON_API, blocks, code, firsts, rows, section
from trees import make_tree, save

import sightline
from sightline.classes import ROAD_SCENE
from sightline.config import load_config
from sightline.leaks import find_leaks, leave_gaps
from sightline.tracking import RunRecord, open_tracker


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder in which the first example of the Python API was run: a dataset and a whole walk."""
    folder = tmp_path_factory.mktemp("docs")
    example(folder, "python-api", blocks(PYTHON_API, "python")[0])
    return folder


@pytest.fixture(scope="module")
def tracker(walked):
    return open_tracker(load_config(None, {"store": str(walked / ".sightline")}))


def example(folder, name, *texts):
    """Run examples one after another, as scripts in one process."""
    paths = [folder / f"{name}-{number}.py" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    runner = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path, run_name='__main__')"
    command = [sys.executable, "-c", runner, *map(str, paths)] if len(paths) > 1 else [sys.executable, str(paths[0])]
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=calm, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_other_examples_run_as_they_stand(walked, tracker):
    first, *others = blocks(PYTHON_API, "python")
    said = example(walked, "others", *others, *blocks(METRICS, "python"))
    assert "evaluation input scenes_model:v0" in said
    assert "mIoU" in said
    assert "if __name__" in first
    assert (
        tracker.get("scenes_dark").table("dark.parquet").columns
        == tracker.get("scenes").table("eda_table.parquet").columns
    )


def expanded(names):
    """`{class}` stands for each of the classes."""
    return [
        name.replace("{class}", each) for name in names for each in (ROAD_SCENE.names if "{class}" in name else [""])
    ]


@pytest.mark.parametrize("artifact, file", [("scenes", "eda_table.parquet"), ("scenes_split", "class_shares.parquet"),
                                            ("scenes_eval", "pred_table.parquet")])  # fmt: skip
def test_columns_and_their_types(tracker, artifact, file):
    schema = tracker.get(artifact).table(file).data.schema
    table = rows(section(DATA_FORMAT, f"`{file}`"))
    documented = [(name, row[1]) for row in table for name in expanded(code(row[0]))]
    assert documented == [(field.name, str(field.type)) for field in schema]


def test_columns_of_the_joined_table(tracker):
    both = (section(DATA_FORMAT, f"`{name}`") for name in ("eda_table.parquet", "eda_table_data_split.parquet"))
    documented = [(name, row[1]) for table in both for row in rows(table) for name in expanded(code(row[0]))]
    schema = tracker.get("scenes_split").table("eda_table_data_split.parquet").data.schema
    assert documented == [(field.name, str(field.type)) for field in schema]


@pytest.mark.parametrize("artifact, file", [("scenes_split", "data_split.csv"), ("scenes_model", "history.csv")])
def test_columns_of_csv_files(tracker, artifact, file):
    text = tracker.get(artifact).path(file).read_text(encoding="utf-8")
    assert next(csv.reader(io.StringIO(text))) == expanded(firsts(DATA_FORMAT, f"`{file}`"))


HOLDS = {
    "scenes": "`NAME`: the images and their table",
    "scenes_split": "`NAME_split`: the subsets",
    "scenes_model": "`NAME_model`: the network",
    "scenes_eval": "`NAME_eval`: the measurements",
    "scenes_report": "`NAME_report`: the page",
}


@pytest.mark.parametrize("artifact", HOLDS)
def test_files_of_each_artifact(tracker, artifact):
    kinds = {re.sub(r"^(images|labels|predictions)/.*", r"\1/", path) for path in tracker.get(artifact).files}
    documented = {re.sub(r"\{.*", "", name) for name in firsts(DATA_FORMAT, HOLDS[artifact])}
    if artifact == "scenes_split":
        documented |= {"images/", "labels/", "classes.json", "LICENSE.txt"}  # in a sentence
    assert documented == kinds


def test_artifacts_their_types_and_metadata(tracker):
    table = rows(section(DATA_FORMAT, "Artifacts"))
    for row in table:
        artifact = tracker.get(code(row[0])[0].replace("NAME", "scenes"))
        assert code(row[1]) == [artifact.type]
        assert set(code(row[3])) - {"summary.json"} <= set(artifact.metadata)
    assert len(table) == len(HOLDS)


def flat(value, path=""):
    """The paths of a JSON document's values, `[]` for the items of a list of objects."""
    if isinstance(value, dict):
        return {each for key, item in value.items() for each in flat(item, f"{path}.{key}" if path else key)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {each for item in value for each in flat(item, f"{path}[]")}
    return {path}


def general(path):
    """The path with `{class}` for a class, and one subset for all of them."""
    name, _, last = path.rpartition(".")
    path = f"{name}.{{class}}" if last in ROAD_SCENE.names else path
    return re.sub(r"^subsets\.\w+", "subsets.train", path)


def compare(document, heading):
    """Every key of the document is in the table and the other way round; a key may stand for all below it."""
    documented = {name.removesuffix("[]") for name in firsts(DATA_FORMAT, heading)}
    found = set()
    for path in map(general, flat(document)):
        above = [path[: match.start()] for match in re.finditer(r"\.", path)]
        found.add(next((name for name in above if name in documented), path))
    assert documented == found


@pytest.mark.parametrize("artifact, file", [("scenes_model", "config.json"), ("scenes_eval", "summary.json")])
def test_keys_of_documents(tracker, artifact, file):
    compare(tracker.get(artifact).json(file), f"`{file}`")


def test_keys_of_split_json(tracker):
    names = ["a.jpg", "b.jpg"]
    leaky = pd.DataFrame({"File_Name": names, "Group": "g", "Drive": "d", "Frame": [1, 2], "PHash": "0" * 16,
                          "Stage": ["train", "valid"]})  # fmt: skip
    document = tracker.get("scenes_split").json("split.json")
    document |= {"leaks": find_leaks(leaky, 0), "dropped": leave_gaps(leaky, 1).to_dict("records")}
    assert all(document["leaks"][kind] for kind in ("groups", "near_duplicates", "touching")) and document["dropped"]
    compare(document, "`split.json`")


def test_keys_of_ingest_json(tmp_path):
    root = make_tree(tmp_path / "data", "bdd-simple")
    next((root / "labels").iterdir()).unlink()
    save(next((root / "labels").iterdir()), np.full((1, 2), 255, np.uint8))
    settings = {"data": str(root), "store": str(tmp_path / "store"), "tracker": "none", "on_error": "skip"}
    document = sightline.ingest(load_config(None, settings)).json("ingest.json")
    assert document["skipped"] and document["warnings"]
    compare(document, "`ingest.json`")


def test_keys_of_run_records(tracker):
    assert tracker.runs()
    assert firsts(DATA_FORMAT, "`runs/{id}.json`") == [field.name for field in dataclasses.fields(RunRecord)]


def test_what_lies_in_the_store(tracker):
    documented = {name.partition("/")[0] for name in firsts(DATA_FORMAT, "The store")}
    assert {path.name for path in tracker.store.iterdir()} <= documented
    artifact = tracker.get("scenes")
    blob = artifact.path("classes.json").relative_to(tracker.store).as_posix()
    assert blob.startswith("trackio/artifacts/sightline/blobs/sha256/")
    assert (tracker.store / "reports" / "scenes_report.html").is_file()
