"""How the report says to make it again: whose settings, paths, commands, versions; and doing what it says."""

import html
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from test_report import Page, Walk, page_of, settings

from sightline.config import Config, Data, Evaluate, Split, load_config, parse_config, to_dict
from sightline.reporting.recipe import Software, commands, places, software
from sightline.sample import make_dataset
from sightline.stages.report import lineage, report
from sightline.tracking import Tracker, open_tracker
from sightline.tracking.none import MemoryBackend
from sightline.versions import versions

DATA = Data(data="../photos", limit=40, on_error="skip", preset="bdd-simple", classes="mine.yaml")
SPLIT = Split(folds=4, from_csv="ready.csv", gap=0)


@pytest.fixture
def tracker(tmp_path):
    return Tracker(tmp_path / "store", "p", MemoryBackend("p"))


def made(data=DATA, split=SPLIT, evaluate=Evaluate(resamples=300), seeds=(42, 42), told=None):  # noqa: B008
    """What the stages before the report put into the metadata of their artifacts."""
    told = {} if told is None else {"versions": told}
    return {
        "upload": {"settings": {"data": to_dict(data)}, **told},
        "data_split": {"settings": {"split": to_dict(split), "seed": seeds[0]}, **told},
        "evaluation": {"settings": {"evaluate": to_dict(evaluate), "seed": seeds[1]}, **told},
    }


def shown(artifact):
    """The settings that the report prints, as a configuration."""
    text = artifact.path("report.html").read_text(encoding="utf-8")
    return parse_config(
        yaml.safe_load(html.unescape(re.search(r'<pre class="settings"><code>(.*?)</code>', text, re.S)[1]))
    )


def typed(artifact):
    """The commands that the report prints."""
    text = artifact.path("report.html").read_text(encoding="utf-8").partition('<section id="reproduce">')[2]
    return html.unescape(re.search(r"<pre><code>(.*?)</code></pre>", text, re.S)[1]).split("\n")[:-1]


def test_each_stage_tells_its_own_settings_whatever_the_report_was_given(tracker):
    Walk(made=made()).build(tracker)
    told = shown(
        report(settings(data={"name": "town", "limit": 3}, split={"folds": 7}, report={"title": "T"}), tracker)
    )
    assert told.data == replace(DATA, name="town")
    assert (told.split, told.evaluate.resamples, told.report.title) == (SPLIT, 300, "T")


def test_the_models_settings_are_those_that_it_was_trained_with(tracker):
    evaluation = Walk().build(tracker)
    config = settings(train={"lr": 0.5, "epochs": 99}, seed=9, workers=7, store="elsewhere")
    artifact = report(config, tracker)
    page, told = page_of(artifact), shown(artifact)
    assert (told.train.lr, told.train.epochs, told.train.image_size, told.seed) == (0.002, 6, (180, 320), 42)
    assert "elsewhere" not in page.text and "workers" not in page.text
    for one in lineage(tracker, evaluation):
        assert page.row("What this report", one.spec)[1:] == [one.type, str(len(one.files)), one.digest]


def test_what_an_older_artifact_does_not_tell_is_the_reports_own(tracker):
    Walk().build(tracker)
    told = shown(report(settings(data={"name": "town"}, split={"folds": 7}, evaluate={"resamples": 500}), tracker))
    assert (told.data.data, told.split.folds, told.evaluate.resamples) == ("photos", 7, 500)


def test_what_people_write_comes_through(tracker):
    Walk(made=made()).build(tracker)
    config = settings(problem={"target_iou": {"road": 0.9}}, context={"goal": "a: b # c", "users": "é\nü"})
    told = shown(report(config, tracker))
    assert (told.problem, told.context) == (config.problem, config.context)


def test_the_report_is_made_anew_when_a_stage_ran_with_other_settings_to_the_same_end(tracker):
    Walk(made=made()).build(tracker)
    first = report(settings(), tracker)
    runs = len(tracker.runs())
    assert report(settings(split={"folds": 9}), tracker).digest == first.digest
    assert len(tracker.runs()) == runs, "the report's own `split` decides nothing"
    for change in ({"data": replace(DATA, on_error="fail")}, {"seeds": (42, 7)}, {"told": {"numpy": "9.9"}}):
        Walk(made=made(**change)).build(tracker)
        assert report(settings(), tracker).digest != first.digest


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ((42, 42), "run"),
        ((1, 42), "ingest; split --seed 1; train; evaluate; report"),
        ((42, 5), "ingest; split; train; evaluate --seed 5; report"),
    ],
)
def test_stages_with_seeds_of_their_own_are_run_one_by_one(tracker, seeds, expected):
    Walk(made=made(seeds=seeds)).build(tracker)
    artifact = report(settings(seed=8), tracker)
    assert typed(artifact) == [f"sightline {command}" for command in expected.split("; ")]
    assert shown(artifact).seed == 42


def test_commands_name_the_seed_that_differs():
    assert commands({"split": 1, "train": 1, "evaluate": 1}, 1) == ("sightline run",)
    assert commands({"split": 3, "train": 1, "evaluate": 2}, 1)[1::2] == (
        "sightline split --seed 3",
        "sightline evaluate --seed 2",
    )


def test_paths_are_named_with_what_they_lead_to_and_from_where(tracker):
    trained = {"train": to_dict(Config())["train"] | {"weights": "/w/first.safetensors"}, "weights_sha256": "f1a5"}
    Walk(made=made(), trained=trained).build(tracker)
    text = page_of(report(settings(), tracker)).text
    assert (
        "data.data : the images and the masks. Here it was ../photos , seen from the folder that Sightline ran in."
        in text
    )
    assert (
        "split.from : the ready split, which is data_split.csv of town_split:v0 too. Here it was ready.csv , seen"
        in text
    )
    assert "train.weights : the first weights, sha256 f1a5. Here it was /w/first.safetensors ." in text
    assert "data.classes : the class map; looked for in the folder of the images first. Here it was mine.yaml" in text


def test_a_dataset_known_by_name_and_what_is_left_out_are_no_paths():
    tree = to_dict(Config(data=Data(data="bdd-simple-1k")))
    assert places(tree, "s:v0") == ()
    assert [place.key for place in places(to_dict(Config(data=Data(data="x"))), "s:v0")] == ["data.data"]


def test_versions_are_those_of_the_stage_that_did_the_work(tracker):
    trained = {"versions": {"Python": "3.1", "torch": "9.9"}}
    Walk(made=made(told={"Python": "3.1", "numpy": "1.2"}), trained=trained).build(tracker)
    page = page_of(report(settings(), tracker))
    assert page.row("Versions", "numpy") == ["numpy", "1.2", "ingest, split, evaluate"]
    assert page.row("Versions", "torch") == ["torch", "9.9", "train"]
    assert page.row("Versions", "Python") == ["Python", "3.1", "ingest, split, train, evaluate"]
    assert page.row("Versions", "plotly")[2] == "report"


def test_of_an_older_model_the_versions_are_those_of_this_machine(tracker):
    Walk().build(tracker)
    page, here = page_of(report(settings(), tracker)), versions(["torch"])
    assert page.row("Versions", "Python") == ["Python", here["Python"], "report"]
    assert page.row("Versions", "torch") == ["torch", here["torch"], "report"]
    assert page.row("Versions", "sightline")[1:] == ["0.1.0", "train, report"]


def test_a_version_stands_once_and_two_versions_apart():
    told = {"split": {"numpy": "1", "pandas": "2"}, "train": {"numpy": "1"}, "evaluate": {"numpy": "3"}}
    assert software(told) == (
        Software("numpy", "1", "split, train"), Software("numpy", "3", "evaluate"), Software("pandas", "2", "split"),
    )  # fmt: skip


def test_doing_what_the_report_says_gives_the_artifacts_that_it_names(tmp_path):
    """Stages one by one, each with flags that the next command does not know of; then the report's own words."""
    (tmp_path / "here").mkdir()
    make_dataset(tmp_path / "here" / "scenes", drives=8, frames=3, size=(64, 96), workers=1)
    network = ("--no-pretrained", "--epochs", "1", "--image-size", "64", "96", "--batch-size", "4")
    steps = ["ingest --data scenes --limit 20 --on-error skip", "split --folds 4 --gap 1 --stratify person --seed 5",
             f"train {' '.join(network)} --seed 3", "evaluate --resamples 150", "report"]  # fmt: skip
    for step in steps:
        sight(tmp_path / "here", step)
    first = open_tracker(Config(store=str(tmp_path / "here/.sightline")))
    page = first.get("scenes_report")
    told = shown(page)
    assert (told.split.folds, told.data.limit, told.evaluate.resamples) == (4, 20, 150)
    assert "left 4 images out" in Page(page.path("report.html").read_text(encoding="utf-8")).text

    (tmp_path / "there").mkdir()
    tree = to_dict(told)
    tree["data"]["data"] = str(tmp_path / "here/scenes")
    (tmp_path / "there/sightline.yaml").write_text(yaml.safe_dump(tree))
    for line in typed(page):
        sight(tmp_path / "there", line.removeprefix("sightline "))
    again = open_tracker(load_config(overrides={"store": str(tmp_path / "there/.sightline")}))
    for name in ("scenes", "scenes_split", "scenes_model", "scenes_eval"):
        assert again.get(name).digest == first.get(name).digest


def sight(folder, line):
    """A command of Sightline in a process of its own."""
    command = [sys.executable, "-m", "sightline", *line.split()]
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=calm, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, (line, done.stderr)
