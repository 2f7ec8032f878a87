"""Aliases: which a version may have, that they move, and that every command which takes a model finds it by them."""

import json
import shutil
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import sightline
from sightline import cli
from sightline.config import Config, load_config
from sightline.errors import ConfigError, StoreError
from sightline.tracking import open_tracker


@pytest.fixture(params=["trackio", "none"])
def tracker(request, tmp_path):
    return open_tracker(Config(store=str(tmp_path / "store"), tracker=request.param))


CONFIG = load_config(None, {"name": "d"})


def model(tracker, content, name="d_model"):
    """A version of a model, by a training of its own."""
    with tracker.run("training", config={}) as run:
        (run.scratch / "weights").write_text(content)
        return run.save(name, "model", {"weights": run.scratch / "weights"})


def measured(tracker, of, name="d_eval"):
    with tracker.run("evaluation", config={}) as run:
        run.use(of)
        (run.scratch / "summary").write_text(of.digest)
        return run.save(name, "evaluation", {"summary": run.scratch / "summary"}, {"model": of.spec})


def aliases(tracker):
    return {one.spec: one.aliases for one in tracker.artifacts() if one.aliases}


def test_an_alias_is_of_one_version_and_moves(tracker):
    first, second = model(tracker, "a"), model(tracker, "b")
    assert tracker.set_alias(first, "staging").aliases == ("staging",)
    assert tracker.get("d_model:staging").spec == "d_model:v0"
    tracker.set_alias(first, "production")
    assert aliases(tracker) == {"d_model:v0": ("production", "staging"), "d_model:v1": ("latest",)}
    assert tracker.set_alias(second, "staging").aliases == ("latest", "staging")
    assert tracker.get("d_model:staging").spec == "d_model:v1"
    assert aliases(tracker) == {"d_model:v0": ("production",), "d_model:v1": ("latest", "staging")}


def test_a_new_version_leaves_the_alias_where_it_is(tracker):
    tracker.set_alias(model(tracker, "a"), "staging")
    other = tracker.set_alias(model(tracker, "x", "e_model"), "staging")
    model(tracker, "b")
    assert tracker.get("d_model:staging").spec == "d_model:v0"
    assert tracker.get("e_model:staging").spec == other.spec, "each model has aliases of its own"
    model(tracker, "a")
    assert aliases(tracker)["d_model:v0"] == ("latest", "staging"), "content that is there already is its version"


def test_aliases_are_in_the_store_and_in_the_list(tmp_path):
    settings = {"store": str(tmp_path / "store")}
    tracker = open_tracker(load_config(None, settings))
    tracker.set_alias(model(tracker, "a"), "staging")
    assert open_tracker(load_config(None, settings)).get("d_model:staging").spec == "d_model:v0"
    done = CliRunner().invoke(cli.app, ["artifacts", "--store", settings["store"]])
    assert "latest, staging" in done.stdout


@pytest.mark.parametrize("alias", ["latest", "best", "v3", "a b", "", "a:b", "a/b", "1st", "-x", "é", "m.onnx"])
def test_what_an_alias_cannot_be_called(tracker, alias):
    version = model(tracker, "a")
    with pytest.raises(ConfigError, match=r"Choose another|a letter comes first"):
        tracker.set_alias(version, alias)
    assert aliases(tracker) == {"d_model:v0": ("latest",)}


@pytest.mark.parametrize("alias", ["staging", "v", "V2-final", "team_a", "latest2"])
def test_what_an_alias_can_be_called(tracker, alias):
    tracker.set_alias(model(tracker, "a"), alias)
    assert tracker.get(f"d_model:{alias}").spec == "d_model:v0"


def test_an_unknown_alias_lists_those_there_are(tracker):
    model(tracker, "a")
    tracker.set_alias(model(tracker, "b"), "production")
    with pytest.raises(StoreError, match=r"The aliases of d_model are latest \(v1\), production \(v1\)\."):
        tracker.get("d_model:staging")
    with pytest.raises(StoreError, match=r"No run and no artifact is called staging.*training-1, training-2\."):
        sightline.promote(CONFIG, "staging", "production", tracker)
    with pytest.raises(StoreError, match=r"The aliases of d_model are: latest \(v1\), production \(v1\)\.$"):
        sightline.promote(CONFIG, "staging", "production", tracker)
    with pytest.raises(StoreError, match="comes from another store"):
        tracker.set_alias(foreign(tracker), "staging")


def foreign(tracker):
    other = open_tracker(Config(store=f"{tracker.store}-2", tracker="none"))
    return model(other, "other")


def test_promote_takes_runs_evaluations_and_models(tracker):
    first, second = model(tracker, "a"), model(tracker, "b")
    measured(tracker, first)
    training = next(one for one in tracker.runs() if one.name == "training-1")
    for given in ("training-1", training.id, "evaluation-1", "d_eval:v0", "d_eval", "d_model:v0", first):
        sightline.promote(CONFIG, second, "staging", tracker)
        found = sightline.promote(CONFIG, given, "staging", tracker)
        assert (found.model.spec, found.before.spec) == ("d_model:v0", "d_model:v1")
        assert str(found) == "staging is d_model:v0, and d_model:v1 no more"
    assert str(sightline.promote(CONFIG, "staging", "production", tracker)) == "production is d_model:v0"
    assert str(sightline.promote(CONFIG, "production", "staging", tracker)) == "staging is d_model:v0, as before"
    assert sightline.promote(CONFIG, "d_model", "staging", tracker).model.spec == second.spec


def test_what_has_no_model_is_refused(tracker):
    model(tracker, "a")
    with tracker.run("upload", config={}) as run:
        (run.scratch / "a").write_text("a")
        run.save("d", "raw_data", {"a": run.scratch / "a"})
    with pytest.raises(ZeroDivisionError), tracker.run("training", config={}):
        1 / 0  # noqa: B018
    with pytest.raises(ConfigError, match=r"no model behind upload-1 \(upload\)\. Give a training"):
        sightline.promote(CONFIG, "upload-1", "staging", tracker)
    with pytest.raises(ConfigError, match=r"no model behind d:v0 \(raw_data\)"):
        sightline.promote(CONFIG, "d", "staging", tracker)
    with pytest.raises(ConfigError, match=r"training-2 made no model: it failed \(ZeroDivisionError"):
        sightline.promote(CONFIG, "training-2", "staging", tracker)
    for taken in ("d", "training-1"):
        with pytest.raises(ConfigError, match=f"A run or an artifact is called {taken} already"):
            sightline.promote(CONFIG, "training-1", taken, tracker)
    assert "staging" not in {alias for one in tracker.artifacts() for alias in one.aliases}


def test_an_alias_alone_needs_to_know_which_dataset(tracker):
    model(tracker, "a")
    with pytest.raises(ConfigError, match=r"^No run and no artifact is called staging.*Give --data or --name"):
        sightline.promote(load_config(None, {}), "staging", "production", tracker)


@pytest.fixture
def project(trained, tmp_path):
    """(configuration, tracker) of a walk up to a model."""
    config = replace(trained[0], store=str(shutil.copytree(trained[0].store, tmp_path / "store")))
    return config, open_tracker(config)


def command(*arguments):
    return CliRunner().invoke(cli.app, list(map(str, arguments)), env={"COLUMNS": "160"})


def test_evaluate_takes_an_alias_and_its_run_says_which(project):
    config, tracker = project
    store = ("--store", config.store)
    done = command("promote", "training-1", "--alias", "staging", *store)
    assert (done.exit_code, done.stdout.strip()) == (0, "scenes_model:v0"), done.output
    assert "promote: staging is scenes_model:v0" in done.stderr
    done = command("evaluate", "--model", "staging", "--subset", "test", "--resamples", 100, *store)
    assert done.exit_code == 0, done.output
    assert "evaluate: staging is scenes_model:v0" in done.stderr
    run = tracker.runs()[-1]
    assert (run.config["alias"], run.config["model"], run.inputs[0]) == ("staging", *["scenes_model:v0"] * 2)
    evaluation = tracker.get("scenes_eval_test")
    assert (evaluation.metadata["alias"], evaluation.metadata["model"]) == ("staging", "scenes_model:v0")

    page = sightline.report(load_config(None, {"store": config.store, "subset": "test"}), tracker)
    assert "scenes_model:v0, evaluated by its alias staging" in page.path("report.html").read_text(encoding="utf-8")

    again = command("evaluate", "--model", "scenes_model:staging", "--subset", "test", "--resamples", 100, *store)
    assert "evaluate: up to date, scenes_eval_test:v0 answers for it" in again.stderr
    plain = command("evaluate", "--model", "scenes_model:v0", "--subset", "test", "--resamples", 101, *store)
    assert plain.exit_code == 0 and "alias" not in tracker.runs()[-1].config


def test_predict_and_export_take_an_alias(trained, project, tmp_path):
    config, tracker = project
    store = ("--store", config.store)
    tracker.set_alias(tracker.get("scenes_model:v0"), "production")
    image = sorted((trained[1] / "scenes" / "images").iterdir())[0]
    done = command("predict", image, "--model", "production", "--out", tmp_path / "out", *store)
    assert done.exit_code == 0, done.output
    note = json.loads((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()[0])
    assert "scenes_model:v0" in json.dumps(note)
    assert sightline.export_onnx(config, tmp_path / "m.onnx", model="production").model == "scenes_model:v0"
    lost = command("predict", image, "--model", "nowhere", "--out", tmp_path / "o", *store)
    assert lost.exit_code == StoreError.exit_code and "production (v0)" in lost.output
    assert not (tmp_path / "o").exists()
