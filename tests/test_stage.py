"""What all stages share: names, inputs, and the run that is skipped when there is nothing to do."""

import pandas as pd
import pytest

from sightline.classes import ROAD_SCENE
from sightline.config import Config, Data
from sightline.errors import ConfigError, DataError, StoreError
from sightline.stages.stage import JOINED, dataset_name, find_table, items_of, resolve, tracked, write_text
from sightline.table import Table
from sightline.tracking import open_tracker


@pytest.fixture(params=["trackio", "none"])
def tracker(request, tmp_path):
    return open_tracker(Config(store=str(tmp_path / "store"), tracker=request.param))


def save(tracker, name="cam", kind="raw_data", text="one", **files):
    with tracker.run("upload", config={}) as run:
        return run.save(name, kind, files or {"a.txt": write_text(run.scratch / "a.txt", text)})


# the name


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("camvid", "camvid"),
        ("some/where/camvid/", "camvid"),
        ("my photos (2024)", "my-photos-2024"),
        ("v1.2", "v1-2"),
        ("..", None),
        ("...", "data"),
        ("/", "data"),
        ("bdd-simple-1k", "bdd-simple-1k"),
    ],
)
def test_the_name_comes_from_the_folder(tracker, tmp_path, monkeypatch, folder, name):
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    config = Config(data=Data(data=folder))
    assert dataset_name(config, tracker) == (name or "outer")
    save(tracker, name=dataset_name(config, tracker) + "_split")


def test_a_given_name_comes_first(tracker):
    save(tracker, name="stored")
    assert dataset_name(Config(data=Data(data="folder", name="mine")), tracker) == "mine"
    assert dataset_name(Config(data=Data(data="folder")), tracker) == "folder"


def test_without_both_the_only_dataset_of_the_store(tracker):
    with pytest.raises(ConfigError, match=r"Which dataset\? Give --data or --name: .* holds none"):
        dataset_name(Config(), tracker)
    save(tracker, text="one")
    save(tracker, text="two")
    save(tracker, name="cam_model", kind="model")
    assert dataset_name(Config(), tracker) == "cam"
    save(tracker, name="bdd")
    with pytest.raises(ConfigError, match=r"holds 2 \(bdd, cam\)"):
        dataset_name(Config(), tracker)


def test_inputs_are_pinned(tracker):
    first, second = save(tracker, text="one"), save(tracker, text="two")
    assert resolve(tracker, None, "cam").spec == "cam:v1"
    assert resolve(tracker, "cam:v0", "other") == tracker.get("cam:v0")
    assert resolve(tracker, first, "other") is first
    assert second.digest == resolve(tracker, "", "cam").digest
    with pytest.raises(StoreError, match="no artifact cam_split"):
        resolve(tracker, None, "cam_split")


# the tracked run


class Work:
    """A stage's work that counts how often it is done."""

    def __init__(self, text="model", error=None):
        self.text, self.error, self.runs = text, error, []

    def __call__(self, run):
        self.runs.append(run)
        run.log({"loss": 1.0}, step=run.last_step + 1)
        artifact = run.save("cam_model", "model", {"w": write_text(run.scratch / "w", self.text)})
        if self.error:
            raise self.error
        return artifact


def test_work_is_done_once(tracker, capsys):
    source, work = save(tracker), Work()
    first = tracked(tracker, "training", [source], {"lr": 0.1}, work)
    again = tracked(tracker, "training", [source], {"lr": 0.1}, work)
    assert again == first
    assert len(work.runs) == 1
    record = tracker.runs()[-1]
    assert (record.job_type, record.status, record.config) == ("training", "finished", {"lr": 0.1})
    assert (record.inputs, record.outputs) == (("cam:v0",), ("cam_model:v0",))
    assert capsys.readouterr().err.splitlines() == [
        "train: run training-1",
        f"train: saved cam_model:v0 (1 file, digest {first.digest[:12]})",
        "train: up to date, cam_model:v0 answers for it (--force redoes it)",
    ]


def test_work_is_done_again_for_other_settings_inputs_or_by_force(tracker):
    source, work = save(tracker, text="one"), Work()
    tracked(tracker, "training", [source], {"lr": 0.1}, work)
    tracked(tracker, "training", [source], {"lr": 0.2}, work)
    tracked(tracker, "training", [save(tracker, text="two")], {"lr": 0.1}, work)
    tracked(tracker, "training", [source], {"lr": 0.1}, work, force=True)
    tracked(tracker, "evaluation", [source], {"lr": 0.1}, work)
    assert [run.name for run in work.runs] == ["training-1", "training-2", "training-3", "training-4", "evaluation-1"]
    assert len(tracker.runs()) == 5 + 2


def test_an_input_of_equal_content_is_the_same_input(tracker):
    work = Work()
    tracked(tracker, "training", [save(tracker, text="one")], {}, work)
    save(tracker, text="two")
    tracked(tracker, "training", [save(tracker, text="one")], {}, work)
    assert len(work.runs) == 1


def test_failed_work_is_done_again(tracker):
    with pytest.raises(DataError, match="no good"):
        tracked(tracker, "training", [], {}, Work(error=DataError("no good")))
    work = Work()
    tracked(tracker, "training", [], {}, work, resume=True)
    assert [run.name for run in work.runs] == ["training-2"]


def test_work_that_was_broken_off_goes_on(tracker, capsys):
    with pytest.raises(KeyboardInterrupt):
        tracked(tracker, "training", [], {}, Work(error=KeyboardInterrupt()))
    work = Work()
    tracked(tracker, "training", [], {}, work, resume=True)
    assert [(run.name, run.last_step) for run in work.runs] == [("training-1", 2)]
    assert "train: going on with run training-1" in capsys.readouterr().err
    assert tracked(tracker, "training", [], {}, work, resume=True).spec == "cam_model:v0"
    assert len(work.runs) == 1


def test_a_damaged_artifact_is_made_again(tracker):
    work = Work()
    first = tracked(tracker, "training", [], {}, work)
    first.path("w").write_text("damage")
    assert tracked(tracker, "training", [], {}, work) == first
    assert len(work.runs) == 2
    assert first.path("w").read_text() == "model"


def test_an_older_answer_is_what_the_next_stage_reads(tracker):
    tracked(tracker, "training", [], {"lr": 0.1}, Work("slow"))
    tracked(tracker, "training", [], {"lr": 0.2}, Work("fast"))
    tracked(tracker, "training", [], {"lr": 0.1}, Work("never"))
    assert resolve(tracker, None, "cam_model").path("w").read_text() == "slow"


# tables


def table(*names, **columns):
    return Table.from_pandas(pd.DataFrame({"File_Name": list(names), **columns}), ROAD_SCENE)


@pytest.fixture
def config(tmp_path):
    return Config(store=str(tmp_path / "store"))


def test_tables_by_what_people_call_them(config, tmp_path):
    tracker = open_tracker(config)
    save(tracker, **{"eda_table.parquet": table("a.jpg").write(tmp_path / "one.parquet")})
    save(tracker, **{"eda_table.parquet": table("b.jpg").write(tmp_path / "two.parquet")})
    joined = {JOINED: tmp_path / "one.parquet", "class_shares.parquet": tmp_path / "two.parquet"}
    save(tracker, name="cam_split", kind="split_data", **joined)
    calls = {
        str(tmp_path / "one.parquet"): "a.jpg",
        "cam": "b.jpg",
        "cam:v0": "a.jpg",
        "cam:v0/eda_table.parquet": "a.jpg",
        "cam_split": "a.jpg",
        "cam_split/class_shares.parquet": "b.jpg",
    }
    for spec, name in calls.items():
        found = find_table(spec, config)
        assert (found.rows(), found.classes) == ([{"File_Name": name}], ROAD_SCENE), spec


def test_tables_that_are_not_there(config, tmp_path):
    tracker = open_tracker(config)
    path = table("a.jpg").write(tmp_path / "one.parquet")
    save(tracker, **{"eda_table.parquet": path, "other.parquet": path})
    save(tracker, name="cam_report", kind="report")
    with pytest.raises(StoreError, match=r"cam:v0 holds no table no\.parquet\. It holds: eda_table\.parquet, other"):
        find_table("cam/no.parquet", config)
    with pytest.raises(StoreError, match=r"cam_report:v0 holds no table\. It holds: no tables at all"):
        find_table("cam_report", config)
    with pytest.raises(StoreError, match=r"no file nowhere\.parquet\. There .*There are: cam:v0, cam_report:v0"):
        find_table("nowhere.parquet", config)
    with pytest.raises(DataError, match="cannot be read"):
        find_table(str(write_text(tmp_path / "text.parquet", "no table")), config)


def split(tracker, tmp_path):
    rows = table("b.jpg", "c.jpg", "a.jpg", Stage=["train", "valid", "train"], Height=[2] * 3, Width=[3] * 3,
                 Image=["images/b.jpg", "images/c.jpg", "images/a.jpg"],
                 Mask=["labels/b.png", "labels/c.png", "labels/a.png"])  # fmt: skip
    files = {JOINED: rows.write(tmp_path / "joined.parquet")}
    for letter in "abc":
        files[f"images/{letter}.jpg"] = write_text(tmp_path / f"{letter}.jpg", f"image {letter}")
        files[f"labels/{letter}.png"] = write_text(tmp_path / f"{letter}.png", f"mask {letter}")
    return save(tracker, name="cam_split", kind="split_data", **files)


def test_the_rows_of_a_subset_come_by_name_with_their_files(tracker, tmp_path):
    items = items_of(split(tracker, tmp_path), "train")
    assert [row["File_Name"] for row, _ in items] == ["a.jpg", "b.jpg"]
    assert [(item.image.read_text(), item.mask.read_text(), item.size) for _, item in items] == [
        ("image a", "mask a", (2, 3)),
        ("image b", "mask b", (2, 3)),
    ]
    assert items_of(tracker.get("cam_split"), "test") == []


def test_a_damaged_image_is_named(tracker, tmp_path):
    source = split(tracker, tmp_path)
    source.path("labels/b.png").write_text("damage")
    assert len(items_of(source, "valid")) == 1
    with pytest.raises(StoreError, match=r"labels/b\.png of cam_split:v0 is damaged"):
        items_of(source, "train")


def test_text_is_the_same_on_every_system(tmp_path):
    assert write_text(tmp_path / "a", "ä\nb\n").read_bytes() == "ä\nb\n".encode()
