"""The mirror as the tracker sees it: told of everything, in no run's way; its settings; what `sync` takes."""

import json
import re
import shlex
import sys

import pytest
import typer
from pages import ROOT, blocks, code, rows, section
from typer.testing import CliRunner
from wandb_server import WandbServer

from sightline.cli import app
from sightline.config import Config, Wandb, load_config, settings_of
from sightline.errors import ConfigError, StoreError
from sightline.sample import make_dataset
from sightline.stages.stage import STAGES
from sightline.tracking import RunStopped, Tracker, open_tracker
from sightline.tracking.mirror import Careful, NoMirror
from sightline.tracking.none import MemoryBackend
from sightline.tracking.replay import replay
from sightline.tracking.trackio import TrackioBackend
from sightline.tracking.wandb_state import Mirrored, read_state, write_state

PAGE = (ROOT / "docs" / "wandb.md").read_text(encoding="utf-8")
CLOSED = "http://127.0.0.1:9"
"""Nobody listens there."""


class Recorder:
    """A mirror that keeps what it is told; raises at the hook `fails`, if one is named."""

    def __init__(self, fails=""):
        self.told, self.fails = [], fails

    def _hear(self, hook, *what):
        self.told.append((hook, *what))
        if hook == self.fails:
            raise RuntimeError("no room\nat the inn")

    def started(self, record):
        self._hear("started", record.name)

    def used(self, record, artifact):
        self._hear("used", artifact.spec, artifact.aliases)

    def logged(self, record, step, metrics):
        self._hear("logged", step, dict(metrics))

    def saved(self, record, artifact):
        self._hear("saved", artifact.spec, artifact.aliases)

    def ended(self, record):
        self._hear("ended", record.status, dict(record.summary))

    def dropped(self):
        self._hear("dropped")


@pytest.fixture(params=[TrackioBackend, MemoryBackend])
def backend(request, tmp_path):
    return request.param(tmp_path / "store" / "trackio", "p") if request.param is TrackioBackend else MemoryBackend("p")


def tracker_of(tmp_path, backend, mirror=None):
    return Tracker(tmp_path / "store", "p", backend, mirror)


def write(run, text):
    path = run.scratch / "a.txt"
    path.write_text(text)
    return path


def train(tracker, raw=None, **settings):
    """A run that reads, logs, saves and sums up, as a training does."""
    with tracker.run("training", config=settings, fingerprint="f", resume=True) as run:
        if raw:
            run.use(raw)
        for step in (1, 2):
            run.log({"miou": step / 4, "road_iou": 0.5}, step)
        run.save("m", "model", {"a.txt": write(run, "weights")}, {"best_miou": 0.5})
        run.summary = {"best_miou": 0.5, "why": "a test"}
    return run.record


def raw_of(tracker):
    with tracker.run("upload", config={}) as run:
        return run.save("d", "raw_data", {"a.txt": write(run, "pixels")})


def test_a_mirror_is_told_what_happens_in_a_run_and_a_replay_tells_the_same(tmp_path, backend):
    live, later = Recorder(), Recorder()
    raw = raw_of(tracker_of(tmp_path, backend))
    tracker = tracker_of(tmp_path, backend, live)
    record = train(tracker, raw)
    assert live.told == [
        ("started", "training-1"),
        ("used", "d:v0", ("latest",)),
        ("logged", 1, {"miou": 0.25, "road_iou": 0.5}),
        ("logged", 2, {"miou": 0.5, "road_iou": 0.5}),
        ("saved", "m:v0", ("latest",)),
        ("ended", "finished", {"best_miou": 0.5, "why": "a test"}),
    ]
    replay(tracker, record, later)
    hidden = [(*one[:2], {k: v for k, v in one[2].items() if k not in record.summary}) if one[0] == "logged" else one
              for one in later.told]  # fmt: skip
    assert hidden == live.told


def test_a_model_that_a_run_reads_is_told_to_be_the_best(tmp_path, backend):
    live, later = Recorder(), Recorder()
    tracker = tracker_of(tmp_path, backend, live)
    with tracker.run("training", config={}) as run:
        (run.scratch / "config.json").write_text(
            json.dumps({"split": {"digest": "s"}, "canvas": [64, 96], "train": {"recipe": "default"}})
        )
        model = run.save("m", "model", {"config.json": run.scratch / "config.json"}, {"best_miou": 0.5})
    with tracker.run("evaluation", config={}) as run:
        run.use(model)
    replay(tracker, run.record, later)
    assert [one for one in (*live.told, *later.told) if one[0] == "used"] == [("used", "m:v0", ("best", "latest"))] * 2


def test_a_run_that_goes_on_tells_of_the_steps_before(tmp_path, backend):
    tracker, later = tracker_of(tmp_path, backend), Recorder()
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f") as run:
        run.log({"miou": 0.25}, 1)
        raise KeyboardInterrupt
    train(tracker_of(tmp_path, backend, later))
    assert [one[1] for one in later.told if one[0] == "logged"][:2] == [1, 1]
    assert later.told[0] == ("started", "training-1")


@pytest.mark.parametrize(
    ("raised", "status"), [(ValueError("x"), "failed"), (RunStopped(), "stopped"), (KeyboardInterrupt(), "failed")]
)
def test_a_mirror_is_told_how_a_run_ended(tmp_path, raised, status):
    mirror = Recorder()
    with pytest.raises(type(raised)), tracker_of(tmp_path, MemoryBackend("p"), mirror).run("upload", config={}):
        raise raised
    assert mirror.told == [("started", "upload-1"), ("ended", status, {})]


@pytest.mark.parametrize("hook", ["started", "used", "logged", "saved", "ended"])
def test_a_mirror_that_fails_fails_no_run_and_is_told_nothing_more(tmp_path, capsys, hook):
    mirror, backend = Recorder(fails=hook), MemoryBackend("p")
    tracker = tracker_of(tmp_path, backend, Careful(lambda: mirror))
    raw = raw_of(tracker_of(tmp_path, backend))
    assert train(tracker, raw).status == "finished"
    assert [one[0] for one in mirror.told].count(hook) == 1
    assert [one[0] for one in mirror.told[-2:]] == [hook, "dropped"]
    said = capsys.readouterr().err
    assert said == (
        "Warning: W&B: RuntimeError: no room at the inn. The run goes on without it, and so do those after it; "
        "`sightline sync training-1` mirrors it later, `sightline sync --all` all of them.\n"
    )
    heard = len(mirror.told)
    train(tracker, raw)
    assert len(mirror.told) == heard


def test_a_mirror_that_cannot_be_opened_fails_no_run_either(tmp_path, capsys):
    def make():
        raise ImportError("another version")

    tracker = tracker_of(tmp_path, MemoryBackend("p"), Careful(make))
    assert train(tracker).status == "finished"
    assert capsys.readouterr().err.count("Warning") == 1


def test_ctrl_c_in_the_mirror_is_no_failure_of_the_mirror(tmp_path):
    class Interrupted(Recorder):
        def logged(self, record, step, metrics):
            raise KeyboardInterrupt

    tracker = tracker_of(tmp_path, MemoryBackend("p"), Careful(Interrupted))
    with pytest.raises(KeyboardInterrupt):
        train(tracker)
    assert tracker.runs()[0].resumable


def test_an_artifact_that_is_another_one_by_now_is_not_mirrored(tmp_path):
    backend = MemoryBackend("p")
    tracker = tracker_of(tmp_path, backend)
    record = train(tracker)
    other = tracker_of(tmp_path, MemoryBackend("p"))
    with other.run("training", config={}) as run:
        run.save("m", "model", {"a.txt": write(run, "other weights")})
    with pytest.raises(StoreError, match=r"m:v0 is no longer what the run training-1 knew"):
        replay(other, record, Recorder())


# settings


def test_without_the_extra_there_is_one_clear_error_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.chdir(tmp_path)
    make_dataset(tmp_path / "scenes", drives=1, frames=1, size=(64, 64), workers=1)
    for arguments in (["ingest", "--data", "scenes", "--wandb"], ["sync", "--all"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 2
        assert done.stderr == "Error: The mirror in W&B needs W&B's own package: pip install 'sightline[wandb]'.\n"
    assert not (tmp_path / ".sightline").exists()


def test_the_short_flag_is_the_tracker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["ingest", "--wandb", "--tracker", "none"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--wandb is short for --tracker wandb, but --tracker is none" in done.stderr


def test_the_section_is_read_with_its_flags():
    config = load_config(None, {"wandb_project": "roads", "wandb_tags": ["a", "b"], "project": "mine"})
    assert (config.wandb.project, config.wandb.tags, config.project) == ("roads", ("a", "b"), "mine")
    with pytest.raises(ConfigError, match=r"wandb\.mode"):
        load_config(None, {"wandb_mode": "sometimes"})
    with pytest.raises(ConfigError, match=r"wandb\.timeout is 0, but should be greater than 0"):
        load_config(None, {"wandb_timeout": 0})


@pytest.mark.parametrize("where", ["settings", "environment"])
def test_disabled_is_as_if_nobody_had_asked(tmp_path, monkeypatch, where):
    monkeypatch.setenv("WANDB_MODE", "disabled" if where == "environment" else "online")
    told = {"wandb_mode": "disabled"} if where == "settings" else {}
    config = load_config(None, {"store": str(tmp_path / "store"), "tracker": "wandb", **told})
    assert isinstance(open_tracker(config).mirror, NoMirror)


def test_only_the_tracker_wandb_has_a_mirror(tmp_path):
    for name, kind in {"trackio": NoMirror, "none": NoMirror, "wandb": Careful}.items():
        assert type(open_tracker(Config(store=str(tmp_path), tracker=name)).mirror) is kind


# The state


def test_the_state_of_a_mirror_is_read_as_it_was_written(tmp_path):
    assert read_state(tmp_path, "abc") == Mirrored("abc")
    state = Mirrored("abc", done=True, offline=True, where="there", step=3)
    write_state(tmp_path, state)
    assert read_state(tmp_path, "abc") == state
    assert [path.name for path in (tmp_path / "wandb").iterdir()] == ["abc.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"run": "abc", "more": 1}', '{"done": true}'])
def test_a_damaged_state_is_none(tmp_path, text):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "abc.json").write_text(text)
    assert read_state(tmp_path, "abc") == Mirrored("abc")


# Through the SDK, with nobody to answer


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A project of one image, and the SDK as if it had never been used, with a key and a server that is not there."""
    wandb = pytest.importorskip("wandb")
    from sightline.tracking import wandb_run

    monkeypatch.setitem(wandb_run.LIMITS, "x_graphql_retry_max", 1)
    for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "sdk"))
    values = {"BASE_URL": CLOSED, "API_KEY": "0123456789" * 4, "MODE": "online", "ERROR_REPORTING": "false"}
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    make_dataset(tmp_path / "scenes", drives=1, frames=1, size=(64, 64), workers=1)
    wandb.teardown()
    yield tmp_path
    wandb.teardown()


def sightline(*arguments):
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


INGEST = ("ingest", "--data", "scenes", "--workers", "0")


def test_with_nobody_there_a_stage_ends_well_with_one_warning_and_sync_says_so_too(alone):
    code, out, err = sightline(*INGEST, "--wandb")
    assert (code, out) == (0, "scenes:v0\n")
    assert err.count("Warning: W&B: CommError: ") == 1
    assert "`sightline sync upload-1` mirrors it later" in err
    assert "wandb:" not in err  # the SDK's own words
    assert open_tracker(Config(store=str(alone / ".sightline"))).runs()[0].status == "finished"
    code, out, err = sightline("sync", "upload-1")
    assert (code, out) == (8, "")
    assert "Error: W&B: CommError: " in err
    assert "0 of 1 run mirrored; the same command goes on from there." in err


@pytest.mark.parametrize("mode", ["online", ""])
def test_without_a_key_nobody_is_asked_for_one(alone, monkeypatch, mode):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE") if not mode else None
    code, out, err = sightline(*INGEST, "--wandb")
    assert (code, out) == (0, "scenes:v0\n")
    assert err.count("Warning: W&B: There is no key for W&B at http://127.0.0.1:9.") == 1
    code, _, err = sightline("sync", "--all")
    assert code == 8
    assert "Error: There is no key for W&B" in err


def test_sync_mirrors_once_and_again_only_when_told(alone):
    assert sightline(*INGEST)[0] == 0
    code, out, _ = sightline("sync", "--all", "--wandb-mode", "offline")
    folder = out.strip()
    (state,) = (alone / ".sightline" / "wandb").glob("*.json")
    assert (code, json.loads(state.read_text())["where"]) == (0, folder)
    code, out, err = sightline("sync", "upload-1", "--wandb-mode", "offline")
    assert (code, out.strip()) == (0, folder)
    assert "upload-1 is mirrored already" in err
    assert len(list((alone / ".sightline" / "wandb").glob("offline-run-*"))) == 1
    assert sightline("sync", "upload-1", "--force", "--wandb-mode", "offline")[0] == 0
    assert len(list((alone / ".sightline" / "wandb").glob("offline-run-*"))) == 2


def test_settings_of_the_mirror_change_no_result(alone):
    assert sightline(*INGEST)[0] == 0
    _, _, err = sightline(*INGEST, "--wandb", "--wandb-project", "roads", "--wandb-mode", "offline")
    assert "up to date" in err
    assert not list((alone / ".sightline").glob("wandb/*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Which runs? Name some"),
        (("upload-1", "--all"), "Which runs? Name some"),
        (("upload-7",), "There is no run upload-7 in"),
    ],
)
def test_sync_has_to_know_which_runs(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = sightline("sync", *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_run_that_is_under_way_is_not_synced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_tracker(Config()).run("upload", config={}):
        code, _, err = sightline("sync", "upload-1")
        assert code == 2
        assert "The run upload-1 is under way" in err
        assert sightline("sync", "--all") == (0, "", "")


@pytest.fixture
def served(alone, monkeypatch):
    """The same project, with a stand-in for W&B's server."""
    with WandbServer() as server:
        for name, value in server.environment(alone / "sdk").items():
            monkeypatch.setenv(name, value)
        yield server
        pytest.importorskip("wandb").teardown()
    assert server.unknown == []


def test_an_input_that_is_not_there_is_brought_along(alone, served):
    make_dataset(alone / "scenes", drives=6, frames=1, size=(64, 64), workers=1, force=True)
    assert sightline(*INGEST)[0] == 0
    code, _, err = sightline("split", "--wandb", "--folds", "3", "--stratify", "")
    assert code == 0
    assert "Warning: W&B" not in err
    assert served.lineage() == [("data_split", ["scenes:v0"], ["scenes_split:v0"])]
    brought = served.artifact("scenes:v0")
    assert brought.metadata["local_version"] == "scenes:v0"
    assert "eda_table.table.json" in brought.manifest["contents"]
    assert sightline("sync", "upload-1")[0] == 0
    assert served.lineage()[1] == ("upload", [], ["scenes:v0"])
    assert len([one for one in served.artifacts if one.name == "scenes"]) == 1


# The page


def test_the_page_names_the_settings_their_flags_and_what_the_stages_make(tmp_path):
    told = [(code(row[0])[0], code(row[1])[0]) for row in rows(section(PAGE, "Settings"))]
    assert told == [(setting.key, f"--{setting.flag}") for setting in settings_of(Wandb)]
    (block,) = blocks(PAGE, "yaml")
    (tmp_path / "sightline.yaml").write_text(block)
    assert load_config(tmp_path / "sightline.yaml").wandb.tags == ("night", "baseline")
    made = [(code(row[0]) or [row[0]], code(row[1])[0]) for row in rows(section(PAGE, "What W&B gets"))]
    assert [(job_type, stage) for (stage,), job_type in made] == list(STAGES.items())


def test_the_commands_of_the_page_are_commands():
    lines = [line[2:] for block in blocks(PAGE, "console") for line in block.splitlines()]
    own = [shlex.split(line) for line in lines if line.startswith("sightline ")]
    own += [shlex.split(line) for line in re.findall(r"`sightline (sync --[^`]*)`", PAGE.replace("\n", " "))]
    assert len(own) >= 3
    for words in own:
        name, *arguments = words[1:] if words[0] == "sightline" else words
        typer.main.get_command(app).commands[name].make_context(name, arguments)
