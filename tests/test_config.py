import pytest

from sightline.config import SECTIONS, Config, commented_yaml, load_config, settings_of, to_dict
from sightline.errors import ConfigError


def test_commented_file_reads_as_the_defaults(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text(commented_yaml())
    assert load_config(path) == Config()


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
    from sightline.config import parse_config

    assert parse_config(to_dict(config)) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {learning_rate: 1}", "train.learning_rate"),
        ("train: {lr: -1}", "train.lr"),
        ("split: {folds: 1}", "split.folds"),
        ("project: 'a/b'", "project"),
        ("[1, 2]", "no mapping"),
        ("a: [", "YAML"),
        ("train: 3", "train"),
    ],
)
def test_bad_files_name_the_key(tmp_path, text, said):
    path = tmp_path / "sightline.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_section_that_is_no_mapping_is_an_error_with_flags_too(tmp_path):
    path = tmp_path / "sightline.yaml"
    path.write_text("train: 3")
    with pytest.raises(ConfigError, match="train"):
        load_config(path, {"lr": 0.1})
