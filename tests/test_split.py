"""The split: whole groups, the same for any order of the rows, and an error or a warning for all that falls short."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from sightline import folds
from sightline.classes import ClassMap
from sightline.config import Split, parse_config, to_dict
from sightline.errors import ConfigError, DataError, SplitError, StoreError
from sightline.folds import check_folds, deal, groups_with
from sightline.ready import match_split, published_split, read_split
from sightline.stages.split import class_shares, split
from sightline.table import Table
from sightline.tracking import Tracker, open_tracker
from sightline.tracking.none import MemoryBackend

CLASSES = ClassMap(("road", "person", "bicycle"))


def listing(groups: dict[str, str]) -> pd.DataFrame:
    """Groups of images, each a letter: b holds a bicycle, p a person, a both, anything else neither."""
    rows = [
        (f"{group}-{place:03}.jpg", group, 1, letter in "pa", letter in "ba")
        for group, letters in groups.items()
        for place, letter in enumerate(letters)
    ]
    table = pd.DataFrame(rows, columns=["File_Name", "Group", *CLASSES.names])
    return table.astype(dict.fromkeys(CLASSES.names, np.int8))


def dealt(table: pd.DataFrame, seed: int = 42, **changes) -> dict[str, str]:
    """File_Name -> Stage."""
    result = deal(table, CLASSES.names, Split(**changes), seed)
    assert result["File_Name"].tolist() == sorted(table["File_Name"])
    return dict(zip(result["File_Name"], result["Stage"], strict=True))


EVEN = listing({f"g{number:02}": "b--p" for number in range(20)})

GROUPS = st.dictionaries(
    st.text("abcdeé-", min_size=1, max_size=3), st.text("bpa-", min_size=1, max_size=6), min_size=3
)


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(GROUPS, st.integers(2, 5), st.integers(0, 2**32 - 1), st.randoms(), st.sampled_from([(), ("bicycle",)]))
@example({"g1": "b", "g2": "b", "g3": "b"}, 3, 0, None, ("bicycle",))
def test_groups_stay_whole_and_the_order_of_rows_does_not_matter(groups, count, seed, random, stratify):
    table, count = listing(groups), min(count, len(groups))
    choice = {"folds": count, "stratify": stratify, "test_folds": (0,) if count > 2 else ()}
    try:
        stages = dealt(table, seed, **choice)
    except SplitError:
        stages = None
    assume(stages)
    assert set(stages.values()) == ({"train", "valid", "test"} if count > 2 else {"train", "valid"})
    assert table.groupby("Group")["File_Name"].agg(lambda names: len({stages[name] for name in names})).eq(1).all()
    shuffled = table.sample(frac=1, random_state=random.randrange(1 << 30) if random else 0)
    assert dealt(shuffled, seed, **choice) == stages


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_same_seed_gives_the_same_split(seed):
    assert dealt(EVEN, seed) == dealt(EVEN, seed)


def test_another_seed_gives_another_split():
    assert len({tuple(dealt(EVEN, seed).values()) for seed in range(5)}) > 1


def test_ten_folds_by_default_one_for_test_one_for_valid():
    stages = pd.Series(dealt(EVEN))
    assert stages.value_counts().to_dict() == {"train": 64, "valid": 8, "test": 8}


def test_folds_and_what_they_become_are_configurable():
    four = dealt(EVEN, folds=4, test_folds=(3,), valid_folds=(1, 2))
    assert pd.Series(four).value_counts().to_dict() == {"train": 20, "valid": 40, "test": 20}
    assert set(dealt(EVEN, test_folds=()).values()) == {"train", "valid"}
    swapped = dealt(EVEN, test_folds=(1,), valid_folds=(0,))
    other = {"train": "train", "valid": "test", "test": "valid"}
    assert {name: other[stage] for name, stage in swapped.items()} == dealt(EVEN)


@pytest.mark.parametrize("seed", range(8))
def test_classes_are_spread_evenly_though_groups_are_shuffled(seed):
    """Fails with scikit-learn before 1.8, which loses the stratification when it shuffles."""
    table = listing({f"g{number:02}": "bbbb" if number % 4 == 0 else "----" for number in range(40)})
    stages = pd.Series(dealt(table, seed, folds=5))
    with_bicycle = table.set_index("File_Name")["bicycle"].groupby(stages).mean()
    assert with_bicycle.to_dict() == {"train": 0.25, "valid": 0.25, "test": 0.25}


@pytest.mark.parametrize("seed", range(4))
def test_several_classes_are_spread_together(seed):
    """One bicycle, person, both or neither a group: a fold of five gets each combination once."""
    table = listing({f"g{number:02}": "bpa-"[number % 4] * 3 for number in range(20)})
    stages = pd.Series(dealt(table, seed, folds=5, stratify=("bicycle", "person")))
    combination = table.set_index("File_Name")[["bicycle", "person"]].astype(str).sum(axis=1)
    counts = pd.crosstab(stages, combination)
    assert counts.loc["test"].tolist() == counts.loc["valid"].tolist() == [3, 3, 3, 3]
    assert counts.loc["train"].tolist() == [9, 9, 9, 9]


def test_no_class_to_stratify_by_gives_plain_group_folds():
    table = listing({f"g{number}": "--" for number in range(10)})
    assert set(dealt(table, stratify=()).values()) == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"folds": 5, "test_folds": (5,)}, "There is no fold 5: 5 folds are numbered 0 to 4"),
        ({"valid_folds": (-1,)}, "There is no fold -1"),
        ({"valid_folds": (0, 1)}, "Fold 0 is both test and valid"),
        ({"folds": 2}, "take all 2 folds, which leaves none to train on"),
        ({"valid_folds": ()}, "the best epoch is chosen on valid"),
    ],
)
def test_folds_that_do_not_fit(changes, text):
    with pytest.raises(ConfigError, match=text):
        check_folds(Split(**changes))


def test_too_few_groups_says_how_many_and_what_to_choose():
    table = listing({"north": "bb", "south": "b-", "west": "b-"})
    with pytest.raises(SplitError) as error:
        dealt(table)
    assert "6 images in 3 groups cannot be dealt to 10 folds" in str(error.value)
    assert "north, south, west" in str(error.value)
    assert "--folds 3 or fewer" in str(error.value)
    assert dealt(table, folds=3, stratify=())  # the advice holds
    with pytest.raises(SplitError, match="too few for the folds of test and valid, too"):
        dealt(table, test_folds=(3,))


def test_an_unknown_class_lists_the_classes_and_the_flag():
    with pytest.raises(SplitError) as error:
        dealt(EVEN, stratify=("bike", "person"))
    assert "no class bike to stratify by. The classes are: road, person, bicycle." in str(error.value)
    assert "--stratify" in str(error.value)


def test_a_class_that_cannot_be_spread_says_which_could():
    table = listing({f"g{number:02}": "b-" if number < 2 else "p-" for number in range(12)})
    with pytest.raises(SplitError) as error:
        dealt(table)
    assert "bicycle occurs in 2 of 12 groups" in str(error.value)
    assert "takes 3 groups" in str(error.value)
    assert "with --stratify: road (12 groups), person (10 groups)." in str(error.value)
    assert dealt(table, test_folds=(), folds=2, valid_folds=(0,))  # two subsets take two groups


def test_a_class_that_never_occurs():
    table = listing({f"g{number:02}": "pp" for number in range(12)})
    with pytest.raises(SplitError, match="bicycle occurs in 0 of 12 groups"):
        dealt(table)
    with pytest.raises(SplitError, match="No class can be: stratify by none"):
        dealt(table.assign(road=0, person=0))


def test_combinations_that_are_all_too_rare():
    table = listing({f"g{number}": "ba-p"[number % 4] for number in range(12)})
    with pytest.raises(SplitError) as error:
        dealt(table, stratify=("bicycle", "person"))
    text = "12 images fall into 4 combinations of bicycle, person, the most common of 3 images"
    assert text in str(error.value)
    assert "--folds 3 or fewer, or fewer classes with --stratify" in str(error.value)
    assert dealt(table, stratify=("bicycle", "person"), folds=3)  # the advice holds


def test_a_subset_without_images(monkeypatch):
    """scikit-learn leaves a fold empty now and then (its issue 34828); when, differs from one processor to the next."""
    monkeypatch.setattr(folds, "_fold_of_each", lambda rows, *_: np.arange(len(rows)) % 8 + 1)
    with pytest.raises(SplitError, match=r"No image came to test: .*Choose fewer --folds, another --seed"):
        dealt(EVEN)


def test_groups_with_a_class_are_counted():
    table = listing({"g1": "bp", "g2": "--", "g3": "bb"})
    assert groups_with(table, CLASSES.names) == {"road": 3, "person": 1, "bicycle": 2}
    assert groups_with(table, ()) == {}


# --- ready splits ---------------------------------------------------------------------------------------------------


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "ready.csv"
    path.write_text(text, encoding="utf-8")
    return path


def matched(folder: Path, text: str, names: str = "a b c d") -> dict[str, str]:
    result = match_split(read_split(csv_file(folder, text)), names.split(), "The split")
    return dict(zip(result["File_Name"], result["Stage"], strict=True))


def test_a_ready_split_is_matched_by_name(tmp_path):
    text = "id,Stage,File_Name\n0,val,c\n1,train,a\n2,test,b\n3,valid,d\n"
    assert matched(tmp_path, text) == {"a": "train", "b": "test", "c": "valid", "d": "valid"}
    assert matched(tmp_path, "\ufeff" + text) == {"a": "train", "b": "test", "c": "valid", "d": "valid"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("File_Name,Stage\na,train\nb,train\nc,valid\n", ["1 image has no row (first: d)"]),
        (
            "File_Name,Stage\na,train\nb,train\nc,valid\nd,test\ne,test\nf,test\n",
            ["2 rows name no image of the dataset (first: e, f)"],
        ),
        (
            "File_Name,Stage\na,train\nb,train\nc,valid\nd,test\nb,train\n",
            ["1 file name stands in more than one row (first: b)"],
        ),
        (
            "File_Name,Stage\na,train\nb,Train\nc,dev\nd,dev\n",
            ["Stage is 'Train' in 1 row, 'dev' in 2 rows. It may be train, valid (or val) or test."],
        ),
        ("File_Name,Stage\na,train\nb\nc,valid\nd,test\n", ["Stage is '' in 1 row."]),
        ("File_Name,Stage\nz,train\nz,odd\n", ["'odd'", "first: z", "2 rows name no image", "4 images have no"]),
    ],
)
def test_a_ready_split_that_does_not_fit(tmp_path, text, expected):
    with pytest.raises(SplitError) as error:
        matched(tmp_path, text)
    for part in expected:
        assert part in str(error.value)


def test_a_ready_split_that_cannot_be_read(tmp_path):
    with pytest.raises(SplitError, match=r"no column Stage\. Its columns are: File_Name, Subset"):
        read_split(csv_file(tmp_path, "File_Name,Subset\na,train\n"))
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read: No such file or directory$"):
        read_split(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_split(csv_file(tmp_path, ""))


def test_a_published_split_is_whole_or_refused():
    table = pd.DataFrame({"File_Name": ["b", "a"], "Published": ["train", "valid"]})
    assert published_split(table).to_dict("list") == {"File_Name": ["a", "b"], "Stage": ["valid", "train"]}
    with pytest.raises(SplitError, match=r"1 of 2 images has no published subset \(first: a\).*--no-published"):
        published_split(table.assign(Published=["train", None]))


# --- class shares ---------------------------------------------------------------------------------------------------


def test_class_shares_weigh_images_by_their_pixels():
    rows = pd.DataFrame(
        {
            "Stage": ["train", "train", "valid"],
            "Width": np.array([100_000, 10, 20], np.int32),
            "Height": np.array([100_000, 10, 10], np.int32),  # 10¹⁰ pixels: more than int32 holds
            "road": np.array([1, 1, 0], np.int8),
            "road_share": [0.5, 1.0, 0.0],
        }
    )
    (row,) = class_shares(rows, ["road"]).to_dict("records")
    assert row["Class"] == "road"
    assert [row[f"{subset}_images"] for subset in ("all", "train", "valid", "test")] == [2, 2, 0, 0]
    assert row["train_share"] == pytest.approx((0.5e10 + 100) / (1e10 + 100), rel=1e-12)
    assert row["all_share"] == pytest.approx((0.5e10 + 100) / (1e10 + 300), rel=1e-12)
    assert row["valid_share"] == 0
    assert np.isnan(row["test_share"])


# --- the stage ------------------------------------------------------------------------------------------------------


def eda(groups: dict[str, str], drive_of=lambda group: group) -> pd.DataFrame:
    """An EDA table of these groups (see `listing`), frames numbered through each drive."""
    table = listing(groups)
    drives = table["Group"].map(drive_of)
    stems = table["File_Name"].str.removesuffix(".jpg")
    columns = {
        "Image": "images/" + table["File_Name"],
        "Mask": "labels/" + stems + "_mask.png",
        "Group": table["Group"],
        "Drive": drives,
        "Frame": table.groupby(drives).cumcount() * 30,
        "Width": np.int32(64),
        "Height": np.int32(36),
        "Split": "None",
        "Published": None,
        "PHash": [hashlib.sha256(name.encode()).hexdigest()[:16] for name in table["File_Name"]],
        "Brightness": 100.0,
    }
    table = table[["File_Name"]].assign(**columns).join(table[list(CLASSES.names)])
    shares = {f"{name}_share": table[name] * 0.25 for name in CLASSES.names}
    return table.assign(**shares, ignored_share=0.0)


def save_raw(tracker: Tracker, table: pd.DataFrame, use_published: bool = False, license_text: str = "free"):
    """A hand-made raw_data artifact with files of their own content for each image and mask."""
    layout = {"use_published": use_published}
    with tracker.run("upload", config={}) as run:
        files = {"eda_table.parquet": Table.from_pandas(table, CLASSES).write(run.scratch / "eda")}
        texts = {path: path for column in ("Image", "Mask") for path in table[column]}
        texts |= {"classes.json": CLASSES.to_json(), "ingest.json": json.dumps({"layout": layout})}
        texts |= {"LICENSE.txt": license_text} if license_text else {}
        for number, (path, text) in enumerate(texts.items()):
            files[path] = run.scratch / str(number)
            files[path].write_text(text, encoding="utf-8")
        return run.save("tiny", "raw_data", files)


STRETCHES = {f"{drive}_{number}": "b--p" for drive in "ABC" for number in range(8)}


def drive(group: str) -> str:
    return group.split("_", maxsplit=1)[0]


@pytest.fixture
def tracker(tmp_path) -> Tracker:
    return Tracker(tmp_path / "store", "test", MemoryBackend("test"))


def configured(seed: int = 42, **changes):
    return parse_config({"tracker": "none", "seed": seed, "data": {"name": "tiny"}, "split": changes})


def test_the_artifact_holds_the_split_and_every_file_by_digest(tracker):
    raw = save_raw(tracker, eda(STRETCHES, drive))
    made = split(configured(gap=1), tracker)
    assert (made.name, made.type, made.metadata["raw"]) == ("tiny_split", "split_data", "tiny:v0")
    assert made.metadata["settings"] == {"split": to_dict(Split(gap=1)), "seed": 42}
    assert made.metadata["versions"]["pandas"] == pd.__version__
    summary = made.json("split.json")
    stages = pd.read_csv(made.path("data_split.csv"))
    dropped = {row["File_Name"] for row in summary["dropped"]}
    table = raw.table("eda_table.parquet").to_pandas()
    assert list(stages.columns) == ["File_Name", "Stage"]
    assert stages["File_Name"].tolist() == sorted(set(table["File_Name"]) - dropped)
    assert 0 < len(dropped) < 20
    kept = table[table["File_Name"].isin(stages["File_Name"])]
    of_raw = {*kept["Image"], *kept["Mask"], "classes.json", "LICENSE.txt"}
    own = {"data_split.csv", "eda_table_data_split.parquet", "class_shares.parquet", "split.json"}
    assert set(made.files) == of_raw | own
    assert all(made.files[path] == raw.files[path] for path in of_raw)
    made.check()


def test_the_joined_table(tracker):
    raw = save_raw(tracker, eda(STRETCHES, drive).sample(frac=1, random_state=0))
    made = split(configured(), tracker)
    before, after = raw.table("eda_table.parquet"), made.table("eda_table_data_split.parquet")
    assert after.columns == [*before.columns, "Stage"]
    assert after.classes == CLASSES
    assert after.data.schema.field("bicycle").type == "int8"
    frame = after.to_pandas()
    assert frame["File_Name"].is_monotonic_increasing
    assert (frame["Split"] == frame["Stage"]).all()
    stages = pd.read_csv(made.path("data_split.csv"))
    pd.testing.assert_frame_equal(frame[["File_Name", "Stage"]], stages, check_dtype=False)
    same = before.to_pandas().set_index("File_Name").loc[frame["File_Name"]].reset_index().drop(columns="Split")
    pd.testing.assert_frame_equal(frame.drop(columns=["Split", "Stage"]), same)


def test_the_summary(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    made = split(configured(folds=8), tracker)
    summary = made.json("split.json")
    frame = made.table("eda_table_data_split.parquet").to_pandas()
    assert {key: summary[key] for key in ("method", "seed", "folds", "test_folds", "valid_folds", "stratify")} == {
        "method": "stratified-group-k-fold",
        "seed": 42,
        "folds": 8,
        "test_folds": [0],
        "valid_folds": [1],
        "stratify": ["bicycle"],
    }
    for subset, counts in summary["subsets"].items():
        rows = frame[frame["Stage"] == subset]
        assert counts == {"images": len(rows), "groups": rows["Group"].nunique(), "drives": rows["Drive"].nunique()}
        assert len(rows)
    assert summary["leaks"]["groups"] == summary["leaks"]["touching"] == summary["warnings"] == []
    run = tracker.runs()[-1]
    assert (run.job_type, run.status, run.inputs) == ("data_split", "finished", ("tiny:v0",))
    assert run.summary["dropped"] == len(summary["dropped"])
    assert run.summary["test_images"] == summary["subsets"]["test"]["images"]


def test_class_shares_are_stored(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    shares = split(configured(), tracker).table("class_shares.parquet").to_pandas()
    assert shares["Class"].tolist() == list(CLASSES.names)
    subsets = shares[["train_images", "valid_images", "test_images"]]
    assert (subsets.sum(axis=1) == shares["all_images"]).all()
    assert shares["all_images"].dtype == np.int64
    assert shares.loc[0, "test_share"] == pytest.approx(0.25)


def test_gap_zero_reports_the_touching_frames(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    apart, touching = split(configured(gap=2), tracker), split(configured(gap=0), tracker)
    summary = touching.json("split.json")
    assert apart.json("split.json")["leaks"]["touching"] == []
    assert summary["dropped"] == []
    assert summary["subsets"]["train"]["images"] > apart.json("split.json")["subsets"]["train"]["images"]
    assert {pair["frames_apart"] for pair in summary["leaks"]["touching"]} == {30}
    assert summary["leaks"]["touching_count"] == len(summary["leaks"]["touching"]) > 1


def test_a_gap_that_leaves_nothing_is_refused(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    with pytest.raises(SplitError, match=r"A gap of 100 frames leaves no image in .*Choose a smaller --gap"):
        split(configured(gap=100), tracker)
    assert tracker.runs()[-1].status == "failed"


def test_drives_without_frame_numbers_are_warned_of(tracker, capsys):
    save_raw(tracker, eda(STRETCHES, drive).assign(Frame=0))
    (warning,) = split(configured(), tracker).json("split.json")["warnings"]
    assert warning.startswith("3 drives stand in several subsets, but the frames have no numbers (first: A)")
    assert f"warning: {warning}" in capsys.readouterr().err


def test_the_outcome_of_the_leak_check_is_stored_and_said(tracker, capsys):
    table = eda(STRETCHES, drive)
    raw = save_raw(tracker, table)
    stages = pd.read_csv(split(configured(), tracker).path("data_split.csv")).set_index("File_Name")["Stage"]
    said = capsys.readouterr().err
    assert "leak check: no group stands in two subsets" in said
    assert "leak check: no near-duplicate images stand in two subsets" in said
    train, test = stages.index[stages == "train"][0], stages.index[stages == "test"][0]
    same = table["PHash"].where(table["File_Name"] != test, table.set_index("File_Name").loc[train, "PHash"])
    save_raw(tracker, table.assign(PHash=same))
    leaks = split(configured(), tracker).json("split.json")["leaks"]
    assert leaks["near_duplicate_count"] == 1
    assert leaks["near_duplicate_bits"] == 4
    (pair,) = leaks["near_duplicates"]
    assert {pair["a"], pair["b"]} == {train, test}
    assert pair["distance"] == 0
    assert "warning: 1 pair of near-duplicate images" in capsys.readouterr().err
    assert raw.version == 0


def test_a_class_that_is_missing_from_a_subset_is_warned_of(tracker):
    groups = {f"g{number}": "b-" if number < 4 else "p-" if number == 9 else "--" for number in range(12)}
    save_raw(tracker, eda(groups))
    warnings = split(configured(folds=12), tracker).json("split.json")["warnings"]
    assert any(w.startswith("person occurs in 1 image of 1 group,") and "too few groups" in w for w in warnings)
    save_raw(tracker, eda({f"g{number}": "b---" if number < 3 else "----" for number in range(24)}))
    for seed in range(20):
        warnings = split(configured(seed=seed, folds=12), tracker).json("split.json")["warnings"]
        if any("bicycle occurs in 3 images of 3 groups, but in none of" in warning for warning in warnings):
            break
    assert "though it could be in each: choose fewer --folds, another --seed" in "".join(warnings)


def test_a_ready_split_is_taken_as_it_is_and_checked(tracker, tmp_path, capsys):
    table = eda(STRETCHES, drive)
    save_raw(tracker, table)
    ready = table[["File_Name"]].assign(Stage=["val" if n % 5 == 0 else "train" for n in range(len(table))])
    path = tmp_path / "ready.csv"
    ready.sample(frac=1, random_state=1).to_csv(path, index=False)
    made = split(configured(**{"from": str(path), "gap": 3, "stratify": ["no such class"]}), tracker)
    stored = pd.read_csv(made.path("data_split.csv"))
    assert stored["Stage"].tolist() == ready["Stage"].replace("val", "valid").tolist()
    summary = made.json("split.json")
    assert (summary["method"], summary["seed"], summary["folds"], summary["dropped"]) == ("csv", None, None, [])
    assert summary["subsets"]["test"] == {"images": 0, "groups": 0, "drives": 0}
    assert len(summary["leaks"]["groups"]) == summary["subsets"]["valid"]["groups"] > 10
    assert summary["leaks"]["touching_count"] > 10
    assert "stand in more than one subset" in capsys.readouterr().err
    assert made.table("class_shares.parquet").to_pandas()["test_share"].isna().all()


def test_a_changed_csv_file_is_split_again(tracker, tmp_path):
    table = eda(STRETCHES, drive)
    save_raw(tracker, table)
    path = tmp_path / "ready.csv"
    for first in ("train", "test"):
        stages = [first, *["valid", "train"] * 47, "valid"]
        table[["File_Name"]].assign(Stage=stages).to_csv(path, index=False)
        made = split(configured(**{"from": str(path)}), tracker)
        assert made.json("split.json")["subsets"]["test"]["images"] == (first == "test")


def test_a_ready_split_without_valid_is_refused(tracker, tmp_path):
    table = eda(STRETCHES, drive)
    save_raw(tracker, table)
    path = tmp_path / "ready.csv"
    table[["File_Name"]].assign(Stage="train").to_csv(path, index=False)
    with pytest.raises(SplitError, match="puts none of 96 images in valid"):
        split(configured(**{"from": str(path)}), tracker)


def test_a_published_split_is_used_where_the_layout_says_so_or_the_user(tracker):
    published = ["valid" if group.startswith("C") else "train" for group in eda(STRETCHES)["Group"]]
    save_raw(tracker, eda(STRETCHES, drive).assign(Published=published), use_published=True)
    for config, method in (
        (configured(), "published"),
        (configured(published=True), "published"),
        (configured(published=False), "stratified-group-k-fold"),
    ):
        assert split(config, tracker).json("split.json")["method"] == method
    made = split(configured(), tracker)
    assert pd.read_csv(made.path("data_split.csv"))["Stage"].tolist() == published
    save_raw(tracker, eda(STRETCHES, drive).assign(Published=published))
    assert split(configured(), tracker).json("split.json")["method"] == "stratified-group-k-fold"


def test_two_ready_splits_at_once(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    with pytest.raises(ConfigError, match="Choose one"):
        split(configured(**{"from": "ready.csv", "published": True}), tracker)


def test_a_split_that_is_up_to_date_is_not_made_again(tracker, capsys):
    save_raw(tracker, eda(STRETCHES, drive))
    first = split(configured(), tracker)
    assert split(configured(), tracker) == first
    assert "up to date" in capsys.readouterr().err
    assert len(tracker.runs()) == 2
    assert split(configured(), tracker, force=True).digest == first.digest
    assert split(configured(seed=7), tracker).digest != first.digest


def test_the_input_is_named_or_refused(tracker):
    first = save_raw(tracker, eda(STRETCHES, drive))
    save_raw(tracker, eda(STRETCHES, drive), license_text="")
    made = split(configured(), tracker, raw="tiny:v0")
    assert made.metadata["raw"] == "tiny:v0"
    assert split(configured(), tracker, raw=first) == made
    assert "LICENSE.txt" not in split(configured(), tracker)
    with pytest.raises(ConfigError, match="tiny_split:v0 is of type split_data"):
        split(configured(), tracker, raw=made)
    with pytest.raises(StoreError, match="no artifact other"):
        split(configured(), tracker, raw="other")


def test_folds_that_do_not_fit_start_no_run(tracker):
    save_raw(tracker, eda(STRETCHES, drive))
    with pytest.raises(ConfigError):
        split(configured(folds=2), tracker)
    assert len(tracker.runs()) == 1


def test_with_trackio_a_new_process_finds_the_same_split(tmp_path):
    config = parse_config({"store": str(tmp_path / "store"), "data": {"name": "tiny"}})
    save_raw(open_tracker(config), eda(STRETCHES, drive))
    made = split(config)
    again = open_tracker(config).get("tiny_split")
    assert (again.digest, again.metadata["raw"]) == (made.digest, "tiny:v0")
    assert split(config).version == 0
    assert [run.status for run in open_tracker(config).runs()] == ["finished", "finished"]
