"""The docs against the code: links, presets, flags, signatures, dependencies, what is printed."""

import dataclasses
import importlib.metadata
import inspect
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import typer
import yaml
from pages import (
    DATA_FORMAT,
    DEPENDENCIES,
    METRICS,
    PAGES,
    PYTHON_API,
    ROOT,
    blocks,
    code,
    firsts,
    prose,
    rows,
    section,
    slug,
)
from PIL import Image
from trees import save

import sightline
from sightline import errors
from sightline.classes import ClassMap
from sightline.cli import app
from sightline.config import load_config
from sightline.layouts import PRESETS, Layout
from sightline.problems import ProblemKind

# Pages and names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    text = prose(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_names_a_place_of_one_machine(page):
    assert not re.search(r"(?<![\w.{}/-])/(work|tmp|root|home|opt)/", page.read_text(encoding="utf-8"))


def test_presets_are_those_of_the_code():
    table = rows(section(DATA_FORMAT, "Presets"))
    assert [code(row[0])[0] for row in table] == list(PRESETS)
    for name, images, mask, _, published in table:
        layout = PRESETS[code(name)[0]]
        assert (tuple(code(images)), code(mask)) == (layout.images, [layout.mask])
        assert published.startswith("used") == layout.use_published
        assert published.startswith(("used", "not used", "none")), published


def test_groups_are_read_as_the_page_says():
    table = [row for row in rows(section(DATA_FORMAT, "A layout of your own")) if len(row) == 5]
    assert len(table) >= 6
    for expression, image, group, drive, frame in table:
        layout = Layout(("{x}",), "{x}", code(expression)[0])
        assert layout.group_of(code(image)[0]) == (code(group)[0], code(drive)[0], int(frame))


def test_class_map_keys_and_examples():
    keys = {field.name for field in dataclasses.fields(ClassMap)}
    assert set(firsts(DATA_FORMAT, "Class maps")) == keys
    examples = [yaml.safe_load(block) for block in blocks(DATA_FORMAT, "yaml") if block.startswith("names:")]
    assert len(examples) == 3
    assert set().union(*examples) == keys - {"ignore_index"}
    for example in examples:
        ClassMap.from_dict(example)


def test_settings_examples_are_settings(tmp_path):
    for number, block in enumerate(block for block in blocks(DATA_FORMAT, "yaml") if not block.startswith("names:")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        assert load_config(path).data.mask == "masks/{drive}/{stem}_labels.png"


def test_kinds_of_problems_are_all_there():
    assert firsts(DATA_FORMAT, "What is checked") == [kind.value for kind in ProblemKind]


def test_flags_and_commands_exist():
    group = typer.main.get_command(app)
    flags = {flag for command in group.commands.values() for option in command.params for flag in option.opts}
    flags |= {
        flag for command in group.commands.values() for option in command.params for flag in option.secondary_opts
    }
    for page in (DATA_FORMAT, METRICS, PYTHON_API, DEPENDENCIES):
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - {"--help"} <= flags
    lines = [line[2:] for block in blocks(DATA_FORMAT, "console") for line in block.splitlines() if line[:2] == "$ "]
    assert len(lines) >= 3
    for line in lines:
        _, name, *arguments = shlex.split(line)
        group.commands[name].make_context(name, arguments)  # raises where an argument is unknown


def test_errors_and_their_exit_codes():
    tree = {
        name: str(kind.exit_code)
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.SightlineError)
    }
    assert {code(row[0])[0]: row[1] for row in rows(section(PYTHON_API, "Errors"))} == tree


def test_signatures_are_those_of_the_code():
    table = [code(row[0])[0] for row in rows(section(PYTHON_API, "Stage by stage"))]
    for text in table:
        function = getattr(sightline, text.partition("(")[0])
        parameters = [
            parameter.replace(annotation=parameter.empty)
            for parameter in inspect.signature(function).parameters.values()
        ]
        assert text == function.__name__ + re.sub(r"\s*=\s*", "=", str(inspect.Signature(parameters)))
    names = {text.partition("(")[0] for text in table}
    assert names == {name for name in sightline.__all__ if inspect.isfunction(getattr(sightline, name))}


def test_methods_named_in_the_python_api_exist():
    from sightline.table import Table
    from sightline.tracking import Artifact, Run, Tracker

    homes = {"Tracker": Tracker, "Artifact": Artifact, "Run": Run, "Table": Table}
    for row in rows(section(PYTHON_API, "Tracker, Artifact, Run")):
        owner = None
        for name in code(row[0]):
            home, _, member = name.partition(".")
            owner = homes[home] if home else owner
            member = member.partition("(")[0]
            known = {field.name for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
            source = inspect.getsource(owner)
            assert hasattr(owner, member) or member in known or f"self.{member}" in source, name


# Dependencies


def test_every_dependency_has_its_row():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split())
    pins = {normal(name): pin for name, pin in pins.items()}
    for heading, wanted in (
        ("Needed to run", project["dependencies"]),
        ("Needed to work on it", project["optional-dependencies"]["dev"]),
    ):
        table = {row[0]: row for row in rows(section(DEPENDENCIES, heading))}
        ranges = {re.match(r"[\w.-]+", text)[0]: text for text in wanted}
        assert list(table) == list(ranges)
        for name, row in table.items():
            assert row[1] == f"`{ranges[name].removeprefix(name)}`", name
            assert row[2] == pins[normal(name)], name
            assert re.fullmatch(r"20\d\d-\d\d-\d\d", row[3]) and all(row[4:6]), name


@pytest.mark.parametrize("heading", ["Needed to run", "Needed to work on it"])
def test_licences_are_those_that_the_packages_declare(heading):
    """Where the installed version is the one that the page is about."""
    for name, _, pin, _, licence, *_ in rows(section(DEPENDENCIES, heading)):
        about = importlib.metadata.metadata(name)
        declared = about.get("License-Expression")
        if declared and about["Version"] == pin:
            assert licence.split()[0] in re.split(r"[ ()]+", declared), name


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# Examples of output


def test_the_summary_of_problems_is_what_is_printed(tmp_path):
    """The folder of the example, made and damaged as the page shows it."""
    noise = np.random.default_rng(0)
    for drive in ("bonn_03", "bonn_11", "koeln_01"):
        for frame in range(3):
            stem = f"{drive}/{drive}_{frame * 10:06d}"
            save(tmp_path / f"survey/photos/{stem}.png", noise.integers(0, 256, (48, 64, 3), np.uint8))
            save(tmp_path / f"survey/masks/{stem}_labels.png", noise.choice([0, 7, 24, 99], (48, 64)).astype(np.uint8))
    survey = tmp_path / "survey"
    (survey / "classes.yaml").write_text(next(b for b in blocks(DATA_FORMAT, "yaml") if b.startswith("names: [other")))
    (survey / "photos/bonn_03/notes.JPG").write_text("x")
    cut = survey / "photos/bonn_11/bonn_11_000010.png"
    cut.write_bytes(cut.read_bytes()[:900])
    (survey / "masks/koeln_01/koeln_01_000020_labels.png").unlink()
    wrong = survey / "masks/bonn_03/bonn_03_000000_labels.png"
    values = np.array(Image.open(wrong))
    values[0, :5] = 19
    save(wrong, values)
    settings = {"data": str(survey), "images": "photos/{drive}/{stem}.png", "mask": "masks/{drive}/{stem}_labels.png",
                "group": r"^(?P<group>[a-z]+_\d+)_", "store": str(tmp_path / "store"), "tracker": "none"}  # fmt: skip
    with pytest.raises(errors.DataError) as caught:
        sightline.ingest(load_config(None, settings))
    assert f"Error: {caught.value}\n" in DATA_FORMAT


def test_make_bench_runs_every_benchmark_and_stops_at_a_failure(tmp_path):
    def bench(*arguments):
        return subprocess.run(
            ["make", "--no-print-directory", "bench", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for name in ("benchmarks", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/installed-dev"):
        (tmp_path / name).touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    for name in "ab":
        (tmp_path / f"benchmarks/bench_{name}.py").write_text("import sys; print('ratio 2.0', *sys.argv[1:])")
    done = bench()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "== benchmarks/bench_a.py\nratio 2.0\n== benchmarks/bench_b.py\nratio 2.0\n"
    assert bench("FULL=1").stdout.count("ratio 2.0 --full\n") == 2
    (tmp_path / "benchmarks/bench_a.py").write_text("raise SystemExit(3)")
    done = bench()
    assert done.returncode != 0
    assert "bench_b" not in done.stdout
