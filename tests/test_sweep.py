"""Sweeps: what a file says and what is drawn for it; trials that are stopped, fail, are broken off; several workers."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pages import ROOT, blocks, code, rows, section
from processes import alive

import sightline
from sightline.config import Config, load_config
from sightline.errors import ConfigError, StoreError, TrainingError
from sightline.reporting.sweep import sweep_facts
from sightline.reporting.sweep_figures import sweep_figures
from sightline.sample import make_dataset
from sightline.stages.report import lineage, sweep_of
from sightline.sweeps.artifact import read_outcome
from sightline.sweeps.draws import SPREADS, TAIL, Choice, Normal, Range, Weighted, read_draw
from sightline.sweeps.names import ALIASES
from sightline.sweeps.plan import IGNORED, KEYS, Metric, Stopping, check_classes, check_networks, read_plan
from sightline.sweeps.study import Study, storing
from sightline.tracking import RunStopped, open_tracker

COURSE = """
program: train.py
method: random
project: mlops-course-001
entity: someone
metric: {name: miou, goal: maximize}
parameters:
  log_preds: {value: False}
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}
  batch_size: {values: [4, 8]}
  img_size: {value: 180}
  arch:
    values: ['resnet18', 'convnext_tiny', 'regnet_x_400mf', 'mobilenet_v3_small']
"""
"""The sweep of lesson 2 of the W&B course, as its repository has it, but for one encoder that its library alone has."""
SMALL = {
    "pretrained": False, "epochs": 2, "image_size": [64, 96], "batch_size": 4, "folds": 4, "stratify": [],
    "resamples": 100, "examples": 1, "workers": 1, "near_duplicate": 0,
}  # fmt: skip
LR = {"distribution": "log_uniform_values", "min": "1e-5", "max": "1e-2"}


def write(folder, tree, name="sweep.yaml"):
    path = folder / name
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree, sort_keys=False))
    return path


def plan_of(folder, config=None, trials=None, **tree):
    tree = {"method": "random", "parameters": {"lr": LR}} | tree
    return read_plan(write(folder, tree), config or Config(), trials)


# --- what a file says


def test_the_file_of_the_course_is_read_as_it_is(tmp_path):
    plan = read_plan(write(tmp_path, COURSE), Config())
    assert (plan.name, plan.method, plan.metric, plan.trials) == ("sweep", "random", Metric("miou", "maximize"), 20)
    assert {one.name: one.target.setting for one in plan.parameters} == {
        "lr": "lr", "batch_size": "batch_size", "arch": "encoder",
    }  # fmt: skip
    assert plan.fixed == {"image_size": [180, 320]}, "the course's img_size is a height, 16 to 9"
    assert plan.parameters[0].draw == Range(1e-5, 1e-2, log=True), "YAML's reader takes 1e-5 for a text"
    told = " ".join(plan.hints)
    for word in ("program", "project", "entity", "log_preds", "arch names encoders"):
        assert word in told
    config = plan.config(Config(), {"lr": 0.001, "batch_size": 4, "encoder": "convnext_tiny"})
    assert (config.train.image_size, config.train.lr, config.train.encoder) == ((180, 320), 0.001, "convnext_tiny")


@pytest.mark.parametrize(
    ("spec", "draw"),
    [
        ({"value": 3}, Choice((3,))),
        ({"values": [4, 8]}, Choice((4, 8))),
        ({"values": ["1e-3", "1.5E2", 0.01, "e3"]}, Choice((0.001, 150.0, 0.01, "e3"))),  # as YAML is read
        ({"values": [[32, 48], [64, 96]], "distribution": "categorical"}, Choice(([32, 48], [64, 96]))),
        ({"values": ["a", "b"], "probabilities": [0.25, 0.75]}, Weighted(("a", "b"), (0.25, 0.75))),
        ({"min": 1, "max": 8}, Range(1, 8, integer=True)),
        ({"min": 1, "max": 8.0}, Range(1, 8)),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, Range(0, 1, step=0.25)),
        ({"distribution": "log_uniform", "min": -2, "max": 0}, Range(np.exp(-2), 1.0, log=True)),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, Range(np.exp(-2), 1.0, log=True)),
        ({"distribution": "inv_log_uniform_values", "min": 0.5, "max": 2}, Range(0.5, 2.0, log=True)),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 64, "q": 4}, Range(1, 64, log=True, step=4)),
        ({"distribution": "normal"}, Normal(0, 1)),
        ({"mu": 2, "sigma": 0.5}, Normal(2, 0.5)),
        ({"distribution": "q_log_normal", "mu": 1, "sigma": 2}, Normal(1, 2, log=True, step=1)),
    ],
    ids=str,
)
def test_every_distribution_of_wandb_is_read(spec, draw):
    assert read_draw(spec, "here") == draw


@given(
    kind=st.sampled_from(["uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values", "int_uniform"]),
    low=st.integers(1, 50),
    width=st.integers(10, 500),
    q=st.sampled_from([0.1, 0.5, 1, 3, 8]),
    share=st.floats(0, 1),
)
def test_what_is_drawn_of_a_range_lies_in_it_on_its_steps(kind, low, width, q, share):
    spec = {"distribution": kind, "min": low, "max": low + width} | ({"q": q} if kind.startswith("q") else {})
    draw = read_draw(spec, "here")
    drawn = low + share * width
    value = draw.value(round(drawn) if draw.integer else drawn)
    assert low <= value <= low + width
    if "q" in spec:
        assert abs(value / q - round(value / q)) < 1e-9
        assert abs(value - drawn) <= q, "the multiple that is nearest, or the last one inside"
    if draw.grid() is not None:
        assert value in draw.grid()


@given(st.floats(TAIL, 1 - TAIL), st.floats(TAIL, 1 - TAIL))
def test_quantiles_rise_with_the_value(first, second):
    low, high = sorted((first, second))
    for draw in (Normal(1, 2), Normal(0, 1, log=True), Normal(0, 3, step=0.5), Weighted((1, 2, 3), (0.2, 0.5, 0.3))):
        assert draw.value(low) <= draw.value(high)


def test_probabilities_are_kept():
    draw = read_draw({"values": ["a", "b", "c"], "probabilities": [0.2, 0.0, 0.8]}, "here")
    drawn = [draw.value(share) for share in np.linspace(TAIL, 1 - TAIL, 1001)]
    assert {name: drawn.count(name) for name in "abc"} == {"a": 200, "b": 0, "c": 801}


BROKEN = {
    "no such key": ({"metods": 1}, "no key 'metods'"),
    "method": ({"method": "annealing"}, "method is 'annealing'.*grid, random, bayes"),
    "metric": ({"metric": {"name": "f1", "goal": "maximize"}}, "metric.name is 'f1'.*miou, train_loss, valid_loss"),
    "goal": ({"metric": {"name": "miou", "goal": "minimize"}}, "metric.goal is 'minimize'"),
    "metric's key": ({"metric": {"name": "miou", "aim": 1}}, "metric has no aim"),
    "no parameters": ({"parameters": {}}, "parameters is {}"),
    "one value": ({"parameters": {"lr": {"value": 0.1}}}, "nothing to search"),
    "unknown setting": ({"parameters": {"leraning_rate": LR}}, "parameters.leraning_rate: .*learning_rate"),
    "another section": ({"parameters": {"split.folds": {"values": [3, 4]}}}, "section `split` is the same for all"),
    "another section's key": ({"parameters": {"folds": {"values": [3, 4]}}}, "section `split` is the same for all"),
    "twice": ({"parameters": {"lr": LR, "learning_rate": LR}}, "learning_rate sets lr, as lr does"),
    "no mapping": ({"parameters": {"lr": 0.1}}, "parameters.lr is 0.1"),
    "nothing drawn": ({"parameters": {"lr": {"min": 1}}}, "parameters.lr says neither"),
    "unknown distribution": ({"parameters": {"lr": {"distribution": "cauchy"}}}, "no distribution 'cauchy'"),
    "missing max": ({"parameters": {"lr": {"distribution": "uniform", "min": 1}}}, "lr: uniform needs max"),
    "too many keys": ({"parameters": {"lr": LR | {"q": 1}}}, "log_uniform_values has no q"),
    "no number": ({"parameters": {"lr": LR | {"min": "low"}}}, "parameters.lr.min is 'low'"),
    "turned round": ({"parameters": {"lr": {"min": 0.2, "max": 0.1}}}, "min .0.2. should be below max"),
    "zero in a logarithm": ({"parameters": {"lr": LR | {"min": 0}}}, "needs a min above 0"),
    "same value twice": ({"parameters": {"batch_size": {"values": [4, 4]}}}, "names 4 twice"),
    "probabilities": ({"parameters": {"lr": {"values": [0.1, 0.2], "probabilities": [0.5, 0.6]}}}, "add up to 1"),
    "value that does not fit": ({"parameters": {"batch_size": {"values": [4, 0]}}}, "batch_size is 0"),
    "end that does not fit": ({"parameters": {"encoder_lr": {"min": 0.5, "max": 1.5}}}, "encoder_lr is 1.5"),
    "loss": ({"parameters": {"loss": {"values": ["ce", "mse"]}}}, "loss is 'mse'"),
    "fixed": ({"parameters": {"lr": LR, "augment": {"value": "rain"}}}, "augment is 'rain'"),
    "grid": ({"method": "grid"}, "parameters.lr has no end of values"),
    "stopping": ({"early_terminate": {"type": "envelope"}}, "early_terminate.type is 'envelope'"),
    "stopping's key": ({"early_terminate": {"type": "hyperband", "eat": 3}}, "hyperband has no eat"),
    "stopping too late": ({"early_terminate": {"type": "hyperband", "min_iter": 10}}, "after epoch 10, but"),
    "run_cap": ({"run_cap": 0}, "run_cap is 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_in_the_file_is_named(case, tmp_path):
    tree, said = BROKEN[case]
    with pytest.raises(ConfigError, match=f"(?s)sweep.yaml.*{said}"):
        plan_of(tmp_path, **tree)


@pytest.mark.parametrize("text", ["- 1", "{method: [", "just a text"])
def test_a_file_that_is_no_sweep(text, tmp_path):
    with pytest.raises(ConfigError, match=r"sweep.yaml (holds no sweep|is no YAML)"):
        read_plan(write(tmp_path, text), Config())
    with pytest.raises(ConfigError, match="There is no sweep file"):
        read_plan(tmp_path / "none.yaml", Config())


def test_names_with_dots_and_nested_ones_are_settings_too(tmp_path):
    plan = plan_of(tmp_path, parameters={"train.lr": LR, "train": {"parameters": {"bs": {"values": [2, 4]}}}})
    assert {one.name: one.target.setting for one in plan.parameters} == {"train.lr": "lr", "train.bs": "batch_size"}
    seeds = plan_of(tmp_path, parameters={"seed": {"values": [1, 2, 3]}})
    assert seeds.config(Config(), {"seed": 3}).seed == 3


def test_values_of_the_course_become_those_of_the_settings(tmp_path):
    plan = plan_of(
        tmp_path,
        parameters={
            "augment": {"values": [True, False]},
            "mixed_precision": {"values": [True, False]},
            "img_size": {"values": [90, 180]},
        },
    )
    assert [[one.value(drawn) for drawn in one.draw.labels] for one in plan.parameters] == [
        ["full", "none"], ["auto", "fp32"], [[90, 160], [180, 320]],
    ]  # fmt: skip


def test_an_encoder_or_a_network_that_does_not_exist_is_told_before_anything_runs(tmp_path):
    plan = plan_of(tmp_path, parameters={"arch": {"values": ["resnet18", "googlenet"]}})
    with pytest.raises(ConfigError, match=r"sweep.yaml: parameters.arch: There is no encoder 'googlenet'"):
        check_networks(plan, Config(), tmp_path / "sweep.yaml")
    plan = plan_of(tmp_path, parameters={"arch": {"values": ["light", "vnet"]}})
    with pytest.raises(ConfigError, match=r"parameters.arch: There is no --arch vnet"):
        check_networks(plan, Config(), tmp_path / "sweep.yaml")


def test_a_metric_of_a_class_needs_the_class_in_valid(tmp_path):
    plan = plan_of(tmp_path, metric={"name": "bicycle_iou"})
    check_classes(plan, ("road", "bicycle"), {"road": 3, "bicycle": 1})
    with pytest.raises(ConfigError, match="no image of the valid subset shows"):
        check_classes(plan, ("road", "bicycle"), {"road": 3, "bicycle": 0})
    with pytest.raises(ConfigError, match="Did you mean bicycles_iou"):
        check_classes(plan, ("road", "bicycles"), {"road": 3, "bicycles": 1})


@pytest.mark.parametrize(
    ("told", "stopping"),
    [
        ({"type": "hyperband", "min_iter": 3}, Stopping("hyperband", 3)),
        ({"type": "hyperband", "min_iter": 2, "eta": 2, "strict": True}, Stopping("hyperband", 2, 2)),
        ({"type": "hyperband", "max_iter": 27, "s": 2}, Stopping("hyperband", 3)),
        ({"type": "hyperband", "max_iter": 9, "s": 5}, Stopping("hyperband", 1)),
        ({"type": "median", "min_iter": 2, "min_trials": 5}, Stopping("median", 2, 3, 5)),
    ],
    ids=str,
)
def test_early_stopping_in_the_words_of_wandb(told, stopping, tmp_path):
    assert plan_of(tmp_path, early_terminate=told).stopping == stopping


def test_a_grid_has_as_many_trials_as_points_unless_fewer_are_asked_for(tmp_path):
    tree = {
        "method": "grid",
        "parameters": {"batch_size": {"values": [2, 4, 8]}, "freeze_epochs": {"min": 0, "max": 1}},
    }
    assert plan_of(tmp_path, **tree).trials == 6
    assert plan_of(tmp_path, **tree, run_cap=4).trials == 4
    assert plan_of(tmp_path, trials=50, **tree).trials == 6


# --- the study


def study_of(folder, plan, seed=42):
    return Study(plan, folder / "sweeps", plan.digest({}, "split"), seed, epochs=2)


def draw_all(study, end=lambda claim: claim.end("finished", 0.5)):
    """Take up trials until there are none; their settings."""
    found = []
    while True:
        with study.claim() as claim:
            if claim is None:
                return found
            found.append(claim.settings)
            end(claim)


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_study_that_is_broken_off_draws_what_it_would_have_drawn(method, tmp_path):
    plan = plan_of(tmp_path, method=method, parameters={"lr": LR, "batch_size": {"values": [2, 4, 8]}}, run_cap=7)
    score = lambda claim: claim.end("finished", -abs(np.log(claim.settings["lr"] / 1e-3)))  # noqa: E731
    undisturbed = draw_all(study_of(tmp_path / "a", plan), score)
    assert len(undisturbed) == 7 and len({one["lr"] for one in undisturbed}) == 7
    assert all(1e-5 <= one["lr"] <= 1e-2 for one in undisturbed)
    assert draw_all(study_of(tmp_path / "s", plan, seed=1), score) != undisturbed

    found = []
    studies = [study_of(tmp_path / "b", plan) for _ in range(3)]
    for number in range(8):  # the third trial is broken off once; another process goes on each time
        with studies[number % 3].claim() as claim:
            found.append(claim.settings)
            if claim.number != 3 or claim.again:
                score(claim)
    assert found[2] == found[3], "the trial that was broken off is taken up again, with the same settings"
    assert [*found[:3], *found[4:]] == undisturbed


def test_a_grid_tries_every_point_once(tmp_path):
    plan = plan_of(
        tmp_path,
        method="grid",
        parameters={"image_size": {"values": [[32, 48], [64, 96]]}, "freeze_epochs": {"min": 0, "max": 2}},
    )
    found = draw_all(study_of(tmp_path, plan))
    assert {(tuple(one["image_size"]), one["freeze_epochs"]) for one in found} == {
        ((height, width), epochs) for height, width in ((32, 48), (64, 96)) for epochs in (0, 1, 2)
    }
    assert len(found) == 6


def test_a_trial_belongs_to_one_worker_and_goes_on_when_that_one_is_gone(tmp_path):
    plan = plan_of(tmp_path, run_cap=2)
    one, other = study_of(tmp_path, plan), study_of(tmp_path, plan)
    with one.claim() as first:
        with other.claim() as second:
            assert (first.number, second.number, second.again) == (1, 2, False)
            with study_of(tmp_path, plan).claim() as third:
                assert third is None, "two were asked for, and two are worked on"
        with other.claim() as again:
            assert (again.number, again.again, again.settings) == (2, True, second.settings)
            again.end("failed")
        with other.claim() as none:
            assert none is None and other.running() == 1
    with other.claim() as again:
        assert (again.number, again.again) == (1, True)


def test_a_study_ends_at_its_target_or_at_its_count_which_may_be_raised(tmp_path):
    plan = plan_of(tmp_path, run_cap=2, metric={"name": "valid_loss", "goal": "minimize", "target": 0.2})
    values = iter((0.9, 0.5, 0.1, 0.7))
    end = lambda claim: claim.end("finished", next(values))  # noqa: E731
    assert len(draw_all(study_of(tmp_path, plan), end)) == 2
    more = plan_of(tmp_path, trials=4, metric={"name": "valid_loss", "goal": "minimize", "target": 0.2})
    study = study_of(tmp_path, more)
    assert len(draw_all(study, end)) == 1, "the third reached the target"
    assert study.best().number == 3


def curves(study, *told):
    """Report the values of one trial after another, epoch by epoch; at which epoch each was found hopeless, or None."""
    ends = []
    for values in told:
        with study.claim() as claim:
            for epoch, value in enumerate(values, 1):
                claim.report(epoch, value)
                if claim.is_hopeless():
                    claim.end("stopped")
                    ends.append(epoch)
                    break
            else:
                claim.end("finished", values[-1])
                ends.append(None)
    return ends


def test_trials_worse_than_half_of_the_others_are_stopped(tmp_path):
    plan = plan_of(tmp_path, early_terminate={"type": "median", "min_iter": 2, "min_trials": 2})
    study = Study(plan, tmp_path / "s", "0" * 64, 42, epochs=3)
    assert curves(study, [0.1, 0.2, 0.3], [0.1, 0.4, 0.5], [0.0, 0.1, 0.6], [0.2, 0.5, 0.6]) == [None, None, 2, None]


def test_hyperband_stops_what_is_not_among_the_best_for_either_goal(tmp_path):
    told = {"type": "hyperband", "min_iter": 2, "eta": 3}
    plan = plan_of(tmp_path, early_terminate=told, metric={"name": "valid_loss"})
    study = Study(plan, tmp_path / "s", "0" * 64, 42, epochs=4)
    assert curves(study, [2.0, 1.0, 0.5, 0.4], [1.0, 1.5, 0.1, 0.1], [3.0, 0.5, 0.4, 0.3]) == [None, 2, None]


def test_what_the_sweep_varies_itself_does_not_make_another_sweep(tmp_path):
    plan = plan_of(tmp_path, parameters={"lr": LR, "epochs": {"value": 3}})
    assert plan.fixed == {"epochs": 3}
    known = plan.digest({"train": {"lr": 1, "epochs": 9, "loss": "ce"}, "seed": 1}, "split")
    assert known == plan.digest({"train": {"lr": 2, "epochs": 8, "loss": "ce"}, "seed": 1}, "split")
    for training, split in (({"loss": "focal"}, "split"), ({"loss": "ce"}, "another")):
        assert known != plan.digest({"train": training, "seed": 1}, split)
    assert known != plan.digest({"train": {"loss": "ce"}, "seed": 2}, "split")
    seeds = plan_of(tmp_path, parameters={"seed": {"values": [1, 2]}})
    assert seeds.digest({"train": {}, "seed": 1}, "split") == seeds.digest({"train": {}, "seed": 7}, "split")
    assert known == plan_of(tmp_path, trials=7, parameters={"lr": LR, "epochs": {"value": 3}}).digest(
        {"train": {"loss": "ce"}, "seed": 1}, "split"
    )


def test_a_damaged_database_is_told(tmp_path):
    plan = plan_of(tmp_path)
    study = study_of(tmp_path, plan)
    study.path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match=r"(?s)sweep.db, cannot be used: .*not a database"):
        study_of(tmp_path, plan)
    with pytest.raises(StoreError, match="move it away"), storing(study.path):
        study.trials()


def test_another_file_is_another_study_of_the_same_name(tmp_path):
    first = study_of(tmp_path, plan_of(tmp_path))
    second = study_of(tmp_path, plan_of(tmp_path, parameters={"lr": LR | {"max": 1}}))
    assert first.path == second.path and first.name != second.name
    assert (first.known, second.known) == ((), (first.name,))


def work(folder, file, numbers):
    study = study_of(folder, read_plan(file, Config()))
    for _ in draw_all(study, lambda claim: (numbers.put(claim.number), time.sleep(0.02), claim.end("finished", 1.0))):
        pass


def test_two_processes_share_the_trials_of_one_study(tmp_path):
    file = write(tmp_path, {"method": "random", "parameters": {"lr": LR}, "run_cap": 12})
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    numbers = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path, file, numbers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(numbers.get(timeout=5) for _ in range(12)) == list(range(1, 13))
    assert len(study_of(tmp_path, read_plan(file, Config())).trials()) == 12


# --- whole sweeps


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A project whose images are split."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("dealt")
    make_dataset(folder / "d", drives=8, frames=1, size=(64, 96), workers=1)
    config = load_config(None, SMALL | {"data": str(folder / "d"), "store": str(folder / ".sightline")})
    sightline.split(config, raw=sightline.ingest(config))
    tree = {"data": {"data": "d"}, "workers": 1, "split": {"folds": 4, "stratify": [], "near_duplicate": 0}}
    tree |= {"train": {"pretrained": False, "epochs": 2, "image_size": [64, 96], "batch_size": 4}}
    tree |= {"evaluate": {"resamples": 100}, "report": {"examples": 1}}
    write(folder, tree, "sightline.yaml")
    return folder


@pytest.fixture
def project(dealt, tmp_path, monkeypatch):
    folder = shutil.copytree(dealt, tmp_path / "p")
    monkeypatch.chdir(folder)
    return folder


def trainings(tracker):
    return [(one.name, one.status, one.config.get("trial")) for one in tracker.runs() if one.job_type == "training"]


def test_a_sweep_stops_bad_trials_survives_failed_ones_and_reports_the_best(project, capsys):
    config, tracker = load_config(), open_tracker(load_config())
    file = write(
        project,
        {
            "method": "grid",
            "name": "rates",
            "parameters": {"lr": {"values": [2e-3, 1e-9, 1e30]}},
            "early_terminate": {"type": "hyperband", "min_iter": 1},
        },
    )
    done = sightline.sweep(config, file, tracker)
    said = capsys.readouterr().err
    outcome = read_outcome(done.sweep)
    rows = {row["lr"]: row for row in outcome.rows}
    assert {lr: row["state"] for lr, row in rows.items()} == {2e-3: "finished", 1e-9: "stopped", 1e30: "failed"}
    assert [row["number"] for row in outcome.rows] == [1, 2, 3] and outcome.rows[0]["state"] == "finished"
    good, stopped, failed = rows[2e-3], rows[1e-9], rows[1e30]
    assert outcome.best == good["number"] and good["model"] == done.model.spec
    assert good["value"] == done.model.metadata["best_miou"] and good["epochs"] == 2
    assert (stopped["epochs"], stopped["model"]) == (1, "") and stopped["value"] < good["value"]
    assert failed["error"].startswith("The loss became") and "diverged" in failed["error"] and failed["value"] is None
    assert f"trial {failed['number']}/3 lr=1e+30 failed: The loss became" in said
    assert f"trial {stopped['number']}/3 lr=1e-09 miou" in said and "stopped early after epoch 1, best" in said
    assert sorted(trainings(tracker)) == sorted((row["run"], row["state"], row["number"]) for row in outcome.rows), (
        "each trial a run, whose record says how it ended and which trial it was"
    )
    assert done.sweep.path("sweep.yaml").read_text() == file.read_text()

    page = done.report.path("report.html").read_text()
    assert '<section id="sweep">' in page and "3 trials: 1 finished, 1 stopped early and 1 failed" in page
    assert "the best of 3 trials" in page and "sightline evaluate --subset test" in page
    assert "Which settings mattered cannot be said:" in page and "1 finished trial cannot be compared" in page
    assert done.report.metadata["sweep"] == done.sweep.spec
    assert done.sweep.spec in tracker.runs()[-1].inputs

    before = len(tracker.runs())
    again = sightline.sweep(config, file, tracker)
    assert "sweep rates: up to date, 3 trials are ended" in capsys.readouterr().err
    assert len(tracker.runs()) == before and again == done

    plain = sightline.train(load_config(None, {"lr": 1e-9}), tracker)
    assert len(tracker.runs()) == before + 1, "a trial that was stopped early does not answer for its settings"
    assert len((plain.path("history.csv")).read_text().splitlines()) == 3
    assert sweep_of(tracker, plain) is None
    leftovers = [path.name for path in (project / ".sightline" / "checkpoints").glob("*")]
    assert len(leftovers) <= 1, "what was stopped early leaves no checkpoint behind; what diverged keeps its own"


def test_a_sweep_whose_trials_all_fail_is_given_up_and_tells_why(project, capsys):
    file = write(project, {"method": "random", "parameters": {"lr": {"min": 1e30, "max": 1e31}}, "run_cap": 9})
    with pytest.raises(TrainingError, match="its first 3 trials failed, the last one so: The loss became"):
        sightline.sweep(load_config(), file)
    assert [status for _, status, _ in trainings(open_tracker(load_config()))] == ["failed"] * 3


def test_no_run_and_no_store_where_the_file_or_the_settings_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, {"parameters": {"lr": LR}})
    for given_, said in (({"tracker": "none"}, "tracker none"), ({"subset": "test"}, "chooses by the valid subset")):
        with pytest.raises(ConfigError, match=said):
            sightline.sweep(load_config(None, given_), file)
    with pytest.raises(ConfigError, match="There is no sweep file"):
        sightline.sweep(load_config(), tmp_path / "none.yaml")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'sightline\[sweep\]'"):
        sightline.sweep(load_config(), file)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


def test_a_training_that_is_watched_may_be_stopped(project):
    seen = []

    def watch(row):
        seen.append(row["epoch"])
        raise RunStopped

    tracker = open_tracker(load_config())
    with pytest.raises(RunStopped):
        sightline.train(load_config(), tracker, watch=watch, told={"why": "to see"})
    (record,) = [one for one in tracker.runs() if one.job_type == "training"]
    assert (record.status, record.error, record.outputs, record.config["why"]) == ("stopped", "", (), "to see")
    assert seen == [1] and record.summary["best_epoch"] == 1 and not record.resumable
    assert not list((project / ".sightline" / "checkpoints").glob("*"))
    assert tracker.backend.last_step(record.id, record.name) == 1


KILLED = """
import os, signal, sys
from sightline import cli
from sightline.learning import checkpoint

trained, keep, sign, at = 0, checkpoint.keep, int(sys.argv.pop(1)), int(sys.argv.pop(1))

def kept(learner, history, folder):
    global trained
    keep(learner, history, folder)
    trained += 1
    if trained == at:
        os.kill(os.getpid(), sign)

checkpoint.keep = kept
cli.main()
"""
SIX = {
    "method": "random",
    "run_cap": 6,
    "parameters": {"lr": {"min": 1e-3, "max": 5e-3}, "batch_size": {"values": [2, 4]}},
}


CALM = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def command(folder, *arguments, script=("-m", "sightline")):
    """A command in a process of its own: its exit code, what it printed, what it said."""
    line = [sys.executable, *script, *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, env=CALM, capture_output=True, text=True, timeout=1800, check=False)
    return done.returncode, done.stdout, done.stderr


def test_six_trials_killed_in_the_middle_of_one_end_as_six_trials_and_a_report(project, capsys):
    file = write(project, SIX)
    ended, _, said = command(project, int(signal.SIGKILL), 5, "sweep", file.name, script=("-c", KILLED))
    assert ended == -9, said
    assert "trial 3/6" in said and "trial 4/6" not in said, "it had one epoch of two"

    done = sightline.sweep(load_config(), file)
    said, told = capsys.readouterr().err, read_outcome(done.sweep)
    assert "going on, 2 of 6 trials are ended" in said and "trial 3/6: going on with lr=" in said
    assert sum(line.endswith("(before)") for line in said.splitlines()) == 1, "its first epoch is not trained again"
    assert [(row["number"], row["state"], row["epochs"]) for row in told.rows] == [
        (number, "finished", 2) for number in range(1, 7)
    ]
    undisturbed = draw_all(study_of(project / "other", read_plan(file, Config())))
    assert [{"lr": row["lr"], "batch_size": row["batch_size"]} for row in told.rows] == undisturbed
    tracker = open_tracker(load_config())
    assert [status for _, status, _ in trainings(tracker)] == ["finished"] * 6
    assert sorted(trial for _, _, trial in trainings(tracker)) == [1, 2, 3, 4, 5, 6]
    best = max(told.rows, key=lambda row: row["value"])
    assert told.best == best["number"] and done.model.spec == best["model"] == tracker.get("d_model").spec
    assert told.about["importances"] and set(told.about["importances"]) <= {"lr", "batch_size"}
    page = (project / ".sightline" / "reports" / "d_report.html").read_text()
    assert "6 trials: 6 finished" in page
    for chart in ("sweep-history", "sweep-importances", "sweep-parallel"):
        assert f'id="{chart}"' in page
    assert not list((project / ".sightline" / "checkpoints").glob("*"))
    locks = [path.name for path in (project / ".sightline" / "sweeps").rglob("*.lock")]
    assert set(locks) <= {"study.lock", "walk.lock"}


def test_ctrl_c_leaves_things_tidy_and_the_same_command_goes_on(project):
    file = write(project, SIX | {"run_cap": 2})
    ended, printed, said = command(project, int(signal.SIGINT), 3, "sweep", file.name, script=("-c", KILLED))
    assert (ended, printed) == (130, "") and "the same command goes on" in said and "Traceback" not in said
    tracker = open_tracker(load_config())
    assert [(one.status, one.error) for one in tracker.runs()][-1] == ("failed", "interrupted")
    assert not list((project / ".sightline").glob("tmp/*"))
    assert {path.name for path in (project / ".sightline").rglob("*.lock")} <= {
        "study.lock",
        "walk.lock",
        "book.lock",
        "sightline.lock",
    }
    ended, printed, said = command(project, "sweep", file.name, "-q")
    assert ended == 0 and not said and "d_sweep:v0" in printed and "* " in printed
    assert [(status, trial) for _, status, trial in trainings(tracker)] == [("finished", 1), ("finished", 2)]


def test_several_processes_work_on_one_sweep_and_survive_one_of_them(project):
    file = write(project, SIX | {"run_cap": 4})
    line = [sys.executable, "-m", "sightline", "sweep", file.name, "--parallel", "2", "--json"]
    with (project / "said").open("w") as said, (project / "printed").open("w") as printed:
        sweep = subprocess.Popen(line, cwd=project, env=CALM, stdout=printed, stderr=said)
        while "] epoch 1/2" not in (project / "said").read_text():
            assert sweep.poll() is None
            time.sleep(0.05)
        workers = children_of(sweep.pid)
        os.kill(workers[0], signal.SIGKILL)
        assert sweep.wait(timeout=300) == 0, (project / "said").read_text()
    told, lines = json.loads((project / "printed").read_text()), (project / "said").read_text()
    assert [(row["number"], row["state"], row["epochs"]) for row in told["trials"]] == [
        (number, "finished", 2) for number in range(1, 5)
    ]
    assert len(workers) == 2 and "was killed by signal 9" in lines
    assert "Warning" not in lines and "Traceback" not in lines
    assert sorted(trial for _, _, trial in trainings(open_tracker(load_config()))) == [1, 2, 3, 4]
    assert not any(alive(worker) for worker in workers)


def children_of(pid):
    """Processes that a process started, by their numbers."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return sorted(int(own) for own, parent in map(str.split, listed.splitlines()) if int(parent) == pid)


# --- the report


def outcome_of(trials, method="random", goal="maximize"):
    """A sweep's artifact as it would be opened; trials are (state, value, lr, encoder)."""
    from sightline.sweeps.artifact import Outcome

    done = [value for state, value, *_ in trials if state == "finished"]
    best = 1 + next(n for n, one in enumerate(trials) if one[:2] == ("finished", max(done)))
    parameters = [
        {"name": "lr", "column": "lr", "values": "0.001 to 0.1", "options": [], "log": True},
        {"name": "encoder", "column": "encoder", "values": "b<i>, a", "options": ["b<i>", "a"], "log": False},
    ]
    about = {
        "method": method, "metric": {"name": "miou", "goal": goal}, "best": best, "parameters": parameters,
        "fixed": {}, "early_terminate": None, "importances": {"lr": 0.9, "encoder": 0.1}, "no_importances": "",
    }  # fmt: skip
    rows = [
        {"number": n, "state": state, "value": value, "lr": lr, "encoder": encoder, "best_epoch": 1, "epochs": 2,
         "seconds": 61.4, "run": f"training-{n}", "model": f"d_model:v{n}", "error": ""}
        for n, (state, value, lr, encoder) in enumerate(trials, 1)
    ]  # fmt: skip
    return Outcome("d_sweep:v0", about, rows)


TRIALS = [("finished", 0.3, 0.001, "a"), ("stopped", 0.1, 0.1, "b<i>"), ("finished", 0.5, 0.1, "b<i>"),
          ("failed", None, 0.05, "a"), ("finished", 0.4, 0.01, "a")]  # fmt: skip


def test_the_report_tells_the_sweep():
    facts = sweep_facts(outcome_of(TRIALS), "d_model:v5")
    assert facts.counted == "5 trials: 3 finished, 1 stopped early and 1 failed"
    assert (facts.best, facts.own) == (3, 5)
    assert facts.optimism.startswith("The model is one of 5 trials")
    assert sweep_facts(outcome_of(TRIALS), "d_model:v3").optimism.startswith("The model is the best of 5 trials")
    assert facts.trials[0].took == "0:01:01" and facts.trials[3].value is None


def test_the_charts_of_a_sweep_are_plotly_figures_that_show_the_trials():
    import plotly.graph_objects as go

    charts = sweep_figures(sweep_facts(outcome_of(TRIALS), "d_model:v3"))
    read = {name: json.loads(chart.spec) for name, chart in charts.items()}
    for spec in read.values():
        go.Figure(spec)  # raises where an attribute is none of plotly's
        assert "b<i>" not in json.dumps(spec), "names are escaped"
    line, finished, stopped = read["history"]["data"]
    assert (line["x"], line["y"]) == ([1, 3, 5], [0.3, 0.5, 0.5])
    assert (finished["x"], stopped["x"]) == ([1, 3, 5], [2])
    assert read["importances"]["data"][0]["x"] == [0.9, 0.1]
    lines = [trace for trace in read["parallel"]["data"] if "lines" in trace["mode"]]
    assert np.allclose([trace["y"] for trace in lines], [[0.0, 1.0, 0.0], [0.5, 1.0, 0.5], [1.0, 0.0, 1.0]])
    assert lines[-1]["line"]["width"] > lines[0]["line"]["width"], "the best one is drawn last, and wider"


def test_the_parallel_coordinates_of_one_value_stand_in_the_middle():
    one = sweep_figures(sweep_facts(outcome_of([("finished", 0.3, 0.01, "a")] * 2), "d_model:v1"))
    lines = [trace for trace in json.loads(one["parallel"].spec)["data"] if "lines" in trace["mode"]]
    assert [trace["y"] for trace in lines] == [[0.5, 0.5, 0.5]] * 2
    assert sweep_figures(sweep_facts(outcome_of(TRIALS[:2]), "d_model:v1"))["parallel"] is None


# --- the documentation


def test_the_page_names_all_keys_distributions_and_names_there_are():
    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    table = rows(section(page, "The file"))
    assert set(KEYS) - set(IGNORED) == {name for row in table for name in code(row[0])} & set(KEYS)
    assert all(f"`{key}`" in page for key in IGNORED)
    drawn = {code(row[0])[0]: tuple(code(row[1])) for row in table if code(row[0]) and code(row[0])[0] in SPREADS}
    assert drawn == SPREADS
    aliases = {name: code(row[1])[0] for row in table for name in code(row[0]) if name in ALIASES}
    assert aliases == {name: target.setting for name, target in ALIASES.items()}


def test_the_sweeps_of_the_page_and_of_the_demo_are_read(tmp_path):
    (block,) = blocks((ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8"), "yaml")
    demo = load_config(ROOT / "demo" / "sightline.yaml")
    told = read_plan(write(tmp_path, block), demo)
    kept = read_plan(ROOT / "demo" / "sweep.yaml", demo)
    check_networks(kept, demo, ROOT / "demo" / "sweep.yaml")
    assert (told.name, told.method, told.trials, told.stopping) == ("demo", "bayes", 6, Stopping("hyperband", 2))
    assert told.digest({}, "split") == kept.digest({}, "split")


@pytest.mark.slow
def test_the_sweep_of_the_demo(tmp_path):
    demo = ROOT / "demo"
    make_dataset(tmp_path / "demo" / "road-scenes", drives=24, frames=8)
    for name in ("sightline.yaml", "sweep.yaml"):
        shutil.copy(demo / name, tmp_path / "demo" / name)
    ended, printed, said = command(
        tmp_path, "sweep", "demo/sweep.yaml", "--config", "demo/sightline.yaml", "--json", script=("-m", "sightline")
    )
    assert ended == 0, said
    told = json.loads(printed)
    assert len(told["trials"]) == 6 and told["importances"]
    tracker = open_tracker(load_config(demo / "sightline.yaml", {"store": str(tmp_path / ".sightline")}))
    assert lineage(tracker, tracker.get(told["evaluation"]))[2].spec == told["model"]
