"""`sightline.yaml` read, laid under the flags, checked, and written with comments."""

import pytest
import yaml

from sightline.config import (
    SECTIONS,
    Config,
    commented_yaml,
    load_config,
    parse_config,
    read_yaml,
    settings_of,
    to_dict,
    write_commented,
)
from sightline.errors import ConfigError


def test_commented_file_reads_as_the_defaults(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text(commented_yaml())
    assert load_config(path) == Config()


def test_commented_file_has_every_key_once_with_what_it_means():
    text = commented_yaml()
    assert yaml.safe_load(text) == to_dict(Config())
    for section in (Config, *SECTIONS.values()):
        for setting in settings_of(section):
            told = [line.strip() for line in text.splitlines() if line.endswith(f"  # {setting.text}")]
            assert [line.partition(":")[0] for line in told] == [setting.key]


def test_write_commented_keeps_what_is_there_unless_told_otherwise(tmp_path):
    path = write_commented(tmp_path)
    assert path.read_text() == commented_yaml()
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays
    path.write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"There is a .*sightline\.yaml already\. Replace it with --force"):
        write_commented(tmp_path)
    assert path.read_text() == "seed: 1\n"
    write_commented(tmp_path, force=True)
    assert path.read_text() == commented_yaml()
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        write_commented(tmp_path / "missing")


def test_flags_lie_over_the_file(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text("seed: 7\ntrain: {lr: 0.1, epochs: 3}\nsplit: {from: ready.csv}\n")
    config = load_config(path, {"lr": 0.5, "folds": None, "stratify": ["person", "bicycle"], "tracker": "none"})
    assert (config.seed, config.train.lr, config.train.epochs, config.tracker) == (7, 0.5, 3, "none")
    assert config.split.from_csv == "ready.csv"
    assert config.split.stratify == ("person", "bicycle")


def test_every_setting_has_one_name_over_all_sections():
    names = [setting.name for section in (Config, *SECTIONS.values()) for setting in settings_of(section)]
    assert sorted(names) == sorted(set(names))
    assert all(setting.text for section in SECTIONS.values() for setting in settings_of(section))


def test_round_trip_through_plain_data():
    config = load_config(None, {"image_size": [90, 160], "from_csv": "a.csv"})
    assert parse_config(to_dict(config)) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "train: {lerning_rate: 1}",
            r"train\.lerning_rate: there is no such setting; there are recipe, arch, .*, lr, ",
        ),
        ("train: {epoch: 1}", r"train\.epoch: there is no such setting; did you mean epochs\?"),
        ("seeed: 1", r"seeed: there is no such setting; did you mean seed\?"),
        ("trian: {lr: 1}", r"trian: there is no such setting; did you mean train\?"),
        ("epochs: 3", r"epochs: there is no such setting here; it stands under `train:`"),
        ("data: {epochs: 3}", r"data\.epochs: there is no such setting here; it stands under `train:`"),
        ("train: {lr: -1}", r"train\.lr is -1, but should be greater than 0"),
        ("train: {epochs: ten}", r"train\.epochs is 'ten', but should be a valid integer\n"),
        ("train: {image_size: [64]}", r"train\.image_size is \[64\], but should be \[height, width\], e\.g\. \[180"),
        ("train: {image_size: [64, 96, 3]}", r"train\.image_size is \[64, 96, 3\], but should be \[height, width\]"),
        ("train: {augment: much}", r"train\.augment is 'much', but should be 'none', 'flip', 'scale' or 'full'"),
        ("split: {folds: 1}", r"split\.folds is 1, but should be greater than or equal to 2"),
        ("split: {from: 3}", r"split\.from is 3, but should be a valid string"),
        ("split: {stratify: bicycle}", r"split\.stratify is 'bicycle', but should be a list"),
        ("problem: {target_iou: [road]}", r"problem\.target_iou is \['road'\], but should be a mapping"),
        ("problem: {target_iou: {road: 2}}", r"problem\.target_iou\.road is 2, but should be less than or equal to 1"),
        ("context: {goal: 3}", r"context\.goal is 3, but should be a valid string"),
        ("project: 'a/b'", r"the project 'a/b' may hold letters"),
        ("data: {name: 'a b'}", r"the name 'a b' may hold letters"),
        ("store: ''", "store is empty"),
        ("train: 3", r"train is 3, but should be a section of settings, one a line under `train:`"),
        ("split: [1]", r"split is \[1\], but should be a section"),
        ("[1, 2]", r"sightline\.yaml holds no mapping of settings"),
        ("a: [", r"sightline\.yaml is no YAML: (.|\n)*line 1"),
        ("a: !!python/name:os.system", r"sightline\.yaml is no YAML"),
        ("seed: 1\nstore: a\nseed: 2\n", r"sightline\.yaml: the key 'seed' stands twice, in lines 1 and 3\. Keep one"),
        ("train:\n  lr: 0.1\n  'lr': 0.2\n", r"sightline\.yaml: the key 'lr' stands twice, in lines 2 and 3\."),
        ("split: {folds: 3, folds: 4}", r"sightline\.yaml: the key 'folds' stands twice, in line 1\."),
        (
            "train: {image_size: 90x160}",
            r"train\.image_size is '90x160', but should be \[height, width\], e\.g\. \[180, 320",
        ),
    ],
)
def test_bad_files_name_the_key(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sightline.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config()
    if not said.startswith(r"sightline\.yaml"):
        assert "1 setting does not fit, in sightline.yaml:\n" in str(caught.value)


def test_all_that_does_not_fit_is_told_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train: {lr: -1, nonsense: 1}\nseeed: 3\n")
    with pytest.raises(ConfigError, match=r"4 settings do not fit, in .*mine\.yaml and the flags:") as caught:
        load_config(path, {"folds": 1})
    assert len(str(caught.value).splitlines()) == 6
    with pytest.raises(ConfigError, match="1 setting does not fit, in the flags:"):
        load_config(None, {"folds": 1})


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(ConfigError) as caught:
        parse_config({"train": {"lr": list(range(1000))}})
    assert all(len(line) < 120 for line in str(caught.value).splitlines())


def test_a_section_that_is_left_empty_is_the_default(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text("train:\nsplit:\n  # folds: 5\n")
    assert load_config(path) == Config()
    assert load_config(path, {"folds": 5}) == load_config(None, {"folds": 5})
    path.write_text("# nothing but a comment\n")
    assert load_config(path) == Config()


def test_a_key_that_replaces_one_brought_in_stands_once(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text("a: &mine {lr: 0.1, epochs: 3}\nb: {<<: *mine, lr: 0.2}\n")
    assert read_yaml(path, "")[1] == {"a": {"lr": 0.1, "epochs": 3}, "b": {"lr": 0.2, "epochs": 3}}


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("goal: für".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is no YAML"):
        load_config(tmp_path / "latin.yaml")


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()
    (tmp_path / "sightline.yaml").write_text("seed: 8\n")
    assert load_config().seed == 8


def test_a_section_that_is_no_mapping_is_an_error_with_flags_too(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text("train: 3")
    with pytest.raises(ConfigError, match="train is 3"):
        load_config(path, {"lr": 0.1})


def test_an_override_that_is_no_setting_is_an_error():
    with pytest.raises(ConfigError, match="learning_rate: there is no such setting"):
        load_config(None, {"learning_rate": 0.1})
