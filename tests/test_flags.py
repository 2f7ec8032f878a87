"""Settings as flags: each one a flag of `run` and of its stage, said in the same way, read as `sightline.yaml` is."""

import json
import re
import shlex

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from sightline import cli
from sightline.config import (
    SECTIONS,
    Config,
    Data,
    Evaluate,
    Report,
    Split,
    Train,
    Wandb,
    load_config,
    parse_config,
    settings_of,
    to_dict,
)
from sightline.flags import with_settings

STORE = {"store", "project", "tracker"}
ALL = (Config, *SECTIONS.values())
STAGES = {
    "ingest": (Data, {"workers"}),
    "split": (Split, {"data", "name", "seed"}),
    "train": (Train, {"data", "name", "seed"}),
    "evaluate": (Evaluate, {"data", "name", "seed", "device"}),
    "report": (
        Report,
        {"data", "name", "subset", "goal", "users", "cost_of_errors", "task", "target_miou", "target_iou"},
    ),
}


def commands():
    return get_command(cli.app).commands


def flags(command):
    return {param.name: param for param in commands()[command].params}


def names(section):
    return {setting.name for setting in settings_of(section)}


def parsed(*arguments, sections=ALL):
    """The configuration that these arguments come to; else what was said and the exit code."""
    got, app = [], typer.Typer(cls=cli.Commands)

    @app.command()
    @with_settings(*sections)
    def command(config: Config) -> None:
        got.append(config)

    @app.command()
    def other() -> None:
        """With one command alone there would be no group."""

    result = CliRunner().invoke(app, ["command", *arguments])
    return got[0] if got else (result.exit_code, result.stderr)


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_a_flag_of_run_under_its_own_name():
    run = flags("run")
    for section in ALL:
        for setting in settings_of(section):
            assert f"--{setting.flag}" in run[setting.name].opts
            assert run[setting.name].default is None  # left out, `sightline.yaml` decides
    settings = {name for section in ALL for name in names(section)}
    assert set(run) - settings == {"force", "quiet", "config_file", "wandb"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_setting_is_a_flag_of_its_stage_and_no_flag_is_without_use(stage):
    section, others = STAGES[stage]
    inputs = {
        "split": {"raw"},
        "train": {"split_data", "resume", "find_lr"},
        "evaluate": {"model"},
        "report": {"evaluation"},
    }
    mirror = names(Wandb) | {"wandb"}
    wanted = names(section) | others | STORE | mirror | {"force", "quiet", "config_file"} | inputs.get(stage, set())
    assert set(flags(stage)) == wanted


@pytest.mark.parametrize("command", ["show", "runs", "artifacts"])
def test_commands_that_only_look_take_no_settings_of_stages(command):
    assert set(flags(command)) & (set(flags("run")) - STORE) == {"quiet", "config_file"} | (
        {"limit"} if command == "show" else set()
    )


def entries(text):
    """What the sections of a help list, each in a line: the name, two spaces, the text."""
    found = []
    for line in re.split(r"^\w+:\n", text, maxsplit=1, flags=re.MULTILINE)[1].splitlines():
        if re.match(r"  [^ ]", line) and not line.startswith("  Try: "):
            found.append(line.strip())
        elif line.startswith("   "):
            found[-1] += f"{' ' if '  ' in found[-1] else '  '}{line.strip()}"
    return found


@pytest.mark.parametrize("columns", ["50", "80", "250"])
@pytest.mark.parametrize("command", commands())
def test_help_shows_names_and_choices_whole_however_narrow_the_terminal(command, columns):
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": columns}).stdout
    assert "…" not in shown.replace("A,B,…", "").replace("VALUE,…", "")
    words = shown.split()
    for parameter in commands()[command].params:
        if parameter.param_type_name == "option":
            assert {*parameter.opts, *parameter.secondary_opts} <= {word.strip(",") for word in words}
            assert set((parameter.metavar or "").split()) <= set(words)
    assert commands()[command].epilog in shown  # in one line, to be copied


@pytest.mark.parametrize(("environment", "coloured"), [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)])
def test_help_is_coloured_unless_colours_are_not_wanted(environment, coloured):
    shown = CliRunner().invoke(cli.app, ["runs", "--help"], env=environment, color=True).stdout
    assert ("\x1b[" in shown) == coloured


@pytest.mark.parametrize("command", ["", *commands()])
def test_help_is_in_sentences_and_shows_each_default_once(command):
    shown = CliRunner().invoke(cli.app, [*([command] if command else []), "--help"], env={"COLUMNS": "250"})
    assert shown.exit_code == 0
    assert not shown.stderr
    rows = entries(shown.stdout)
    for row in rows:
        text = re.sub(r" *\[[^\]]*(default: |required|<=|>=)[^\]]*\]", "", row)
        assert text.endswith("."), row
        assert row.count("default: ") <= 1, row
        assert "(default" not in row
        assert "default: (" not in row
        assert "None" not in row
        assert re.search(r"  [A-Z]", text), row
    assert rows


def test_help_shows_the_defaults_of_the_settings():
    shown = CliRunner().invoke(cli.app, ["run", "--help"]).stdout
    for section in ALL:
        for setting in settings_of(section):
            row = next(row for row in entries(shown) if row.startswith(f"--{setting.flag} "))
            default = re.search(r"\[default: ([^\]]*)\]", row)
            if setting.default in (None, "", {}, ()):
                assert default is None, row
            elif setting.name == "image_size":
                assert default[1] == "180 320"
            elif isinstance(setting.default, tuple):
                assert default[1] == ",".join(map(str, setting.default))
            elif isinstance(setting.default, bool):
                assert default[1] == (setting.flag if setting.default else f"no-{setting.flag}")
            else:
                assert default[1] == str(setting.default)


@pytest.mark.parametrize("command", ["", *commands()])
def test_examples_in_the_help_can_be_typed(command):
    epilog = commands()[command].epilog if command else get_command(cli.app).epilog
    for example in epilog.removeprefix("Try: ").split(" && "):
        program, *arguments = shlex.split(example)
        assert program == "sightline"
        result = CliRunner().invoke(cli.app, [*arguments, "--help"])  # read first, then answered by the help
        assert (result.exit_code, result.stderr) == (0, ""), example


@pytest.mark.parametrize(
    ("arguments", "section", "name", "value"),
    [
        ("--stratify person,bicycle", "split", "stratify", ("person", "bicycle")),
        ("--stratify 'traffic light, person'", "split", "stratify", ("traffic light", "person")),
        ("--test-folds 3,4", "split", "test_folds", (3, 4)),
        ("--test-folds ''", "split", "test_folds", ()),
        ("--from ready.csv", "split", "from_csv", "ready.csv"),
        ("--published", "split", "published", True),
        ("--no-published", "split", "published", False),
        ("--image-size 64 96", "train", "image_size", (64, 96)),
        ("--no-pretrained", "train", "pretrained", False),
        ("--pretrained", "train", "pretrained", True),
        ("--lr 1e-3", "train", "lr", 1e-3),
        ("--augment full", "train", "augment", "full"),
        ("--target-iou road=0.8,person=0.3", "problem", "target_iou", {"road": 0.8, "person": 0.3}),
        ("--target-iou 'traffic light = 0.5'", "problem", "target_iou", {"traffic light": 0.5}),
        ("--target-iou ''", "problem", "target_iou", {}),
        ("--target-miou 0.4", "problem", "target_miou", 0.4),
        ("--limit 50", "data", "limit", 50),
        ("--group '^([^-]+)'", "data", "group", "^([^-]+)"),
        ("--goal 'See [bikes]'", "context", "goal", "See [bikes]"),
        ("--subset test", "evaluate", "subset", "test"),
        ("--examples 2", "report", "examples", 2),
    ],
)
def test_values_are_read_as_the_file_would_be(arguments, section, name, value):
    config = parsed(*shlex.split(arguments))
    assert getattr(getattr(config, section), name) == value
    setting = next(one for one in settings_of(SECTIONS[section]) if one.name == name)
    changed = {**to_dict(Config()), section: {**to_dict(getattr(Config(), section)), setting.key: value}}
    assert to_dict(config) == json.loads(json.dumps(changed))  # and nothing else


def test_settings_that_belong_to_no_section():
    config = parsed(*shlex.split("--store s --project p --tracker none --seed 7 --workers 0"))
    assert config == load_config(None, {"store": "s", "project": "p", "tracker": "none", "seed": 7, "workers": 0})


def test_flags_override_the_file_and_the_file_the_defaults(tmp_path):
    (tmp_path / "sightline.yaml").write_text(
        "seed: 5\ntrain: {epochs: 3, pretrained: no}\nproblem: {target_iou: {road: 0.9}}\nsplit: {stratify: [road]}\n"
    )
    (tmp_path / "other.yaml").write_text("seed: 6\n")
    config = parsed("--epochs", "4", "--stratify", "")
    assert (config.seed, config.train.epochs, config.train.pretrained, config.train.lr) == (5, 4, False, 2e-3)
    assert config.problem.target_iou == {"road": 0.9}
    assert config.split.stratify == ()
    assert parsed("--pretrained").train.pretrained
    assert parsed("--config", "other.yaml") == parse_config({"seed": 6})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--lr abc", "'--lr'"),
        ("--lr -1", "train.lr is -1.0, but should be greater than 0"),
        ("--image-size 64", "'--image-size' requires 2 arguments"),
        ("--image-size 64 a", "'--image-size'"),
        ("--image-size 64 8", r"train.image_size\[1\] is 8, but should be greater than or equal to 32"),
        ("--augment much", "'--augment'.*'none', *'flip', *'scale', *'full'"),
        ("--target-iou road", "--target-iou takes CLASS=VALUE, separated by commas, not 'road'"),
        ("--target-iou =0.5", "--target-iou takes CLASS=VALUE"),
        ("--target-iou road=", "problem.target_iou.road is '', but should be a valid number"),
        ("--target-iou road=2", "problem.target_iou.road is '2', but should be less than or equal to 1"),
        ("--test-folds a", r"split.test_folds\[0\] is 'a', but should be a valid integer"),
        ("--test-folds 0.5", r"split.test_folds\[0\]"),
        ("--name 'a b'", "the name 'a b' may hold letters"),
        ("--project a/b", "the project 'a/b' may hold letters"),
        ("--store ''", "store is empty"),
        ("--folds 1 --epochs 0 --workers -1", "3 settings do not fit, in the flags"),
        ("--leraning-rate 1", "No such option: --leraning-rate"),
        ("--config nowhere.yaml", "There is no nowhere.yaml"),
    ],
)
def test_wrong_flags_and_values_are_named_without_a_traceback(arguments, said):
    code, text = parsed(*shlex.split(arguments))
    assert code == 2
    assert re.search(said, " ".join(text.replace("│", " ").split()))
    assert "Traceback" not in text


def test_a_command_without_sections_takes_the_store_alone():
    assert parsed("--store", "s", sections=()).store == "s"
    code, text = parsed("--lr", "1", sections=())
    assert code == 2
    assert "--lr" in text
