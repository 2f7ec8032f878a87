"""The notebooks: as they are kept, and what they show when they are run, each in a kernel of its own."""

import json
import os
import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pandas
import pytest
import typer
from pages import ROOT, blocks, slug

import sightline
from sightline.cli import app
from sightline.config import load_config

NAMES = ("01_eda", "02_split", "03_baseline")
SMALL = {
    "drives, frames, size": "12, 2, (96, 160)",
    "epochs, image_size": "1, (64, 96)",
}
"""What stands in the cell of parameters for a quick run."""

AT_ONCE = "__import__('sightline.bars').bars.WAIT = 0.0"
"""Bars are shown from the first step on, however quick the machine is."""
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
source, target, folder = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
NotebookClient(notebook, timeout=1500, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, target)
"""


def kept(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def reduced(notebook):
    """The notebook with small parameters: each line of their cell keeps its names."""
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    names = [line.partition(" =")[0] for line in cell.source.splitlines()]
    cell.source = "\n".join([*(f"{name} = {SMALL[name]}" for name in names), AT_ONCE])
    return notebook


def execute(notebook, name, folder):
    """The notebook with its outputs; it runs in `folder`."""
    source, target = folder / f"{name}.in.ipynb", folder / f"{name}.out.ipynb"
    nbformat.write(notebook, source)
    places = {key: str(folder / "jupyter") for key in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, source, target, folder],
        env={**os.environ, **places, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(target, as_version=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def executed(folder):
    """Name -> the notebook after it ran small; the second one first, alone, and then the others in its store."""
    return {name: execute(reduced(kept(name)), name, folder) for name in ("02_split", "01_eda", "03_baseline")}


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def shown(notebook, source=""):
    """The HTML of what cells show whose source holds a text."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    assert cells, f"no cell with {source}"
    found = [
        output.data["text/html"] for cell in cells for output in cell.outputs if "text/html" in output.get("data", {})
    ]
    return "\n".join(found)


def printed(notebook):
    return "".join(output.text for output in outputs(notebook) if output.output_type == "stream")


def overlays(html):
    return html.count('<img src="data:image/jpeg;base64,')


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept_without_outputs_and_whole(name):
    notebook = kept(name)
    nbformat.validate(notebook)
    assert notebook.nbformat_minor >= 5 and len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    assert [cell.metadata.tags for cell in notebook.cells if cell.metadata.get("tags")] == [["parameters"]]
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(len(cell.source.splitlines()) <= 12 for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name):
    text = "\n".join(cell.source for cell in kept(name).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    for link in links:
        assert (ROOT / "notebooks" / link.partition("#")[0]).is_file() or re.match("[a-z]+:", link), link


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_to_its_end_and_warns_of_nothing(executed, name):
    found = outputs(executed[name])
    assert not [output for output in found if output.output_type == "error"]
    assert not [output.text for output in found if output.output_type == "stream" and output.name == "stderr"]
    assert all(cell.execution_count for cell in executed[name].cells if cell.cell_type == "code")


def test_each_goes_on_from_what_the_others_made(executed):
    assert "ingest: run upload-1" in printed(executed["02_split"])
    assert "ingest: up to date, road-scenes:v0 answers for it" in printed(executed["01_eda"])
    assert "split: up to date, road-scenes_split:v0 answers for it" in printed(executed["03_baseline"])


def test_the_data_show_themselves(executed):
    notebook = executed["01_eda"]
    assert overlays(shown(notebook, "\ntable")) == 5
    assert 1 <= overlays(shown(notebook, "bicycle = 1")) <= 3
    summary = shown(notebook, "summarise")
    assert "24 images · 12 drives · 160×96" in summary
    assert all(name in summary for name in sightline.ROAD_SCENE.names)
    assert re.search(r"Brightness differs by \d+\.\d between drives and by \d+\.\d within one", printed(notebook))


def test_the_split_shows_its_subsets_and_its_checks(executed, folder):
    notebook = executed["02_split"]
    html, tracker = shown(notebook, "sightline.split("), sightline.open_tracker(small(folder))
    subsets = tracker.get("road-scenes_split").json("split.json")["subsets"]
    for name, counts in subsets.items():
        cells = "".join(rf"<td[^>]*>{value}</td>" for value in (name, *counts.values()))
        assert re.search(cells, html), name
    assert html.count("<li>✓") >= 3
    assert "0 drives stand in two subsets" in printed(notebook)
    assert overlays(shown(notebook, "Stage = 'valid'")) >= 1
    assert "valid images" in shown(notebook, "summarise(joined)")


def test_the_baseline_shows_curves_scores_and_the_worst_images(executed, folder):
    notebook, tracker = executed["03_baseline"], sightline.open_tracker(small(folder))
    assert [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    html = shown(notebook, "\nevaluation")
    summary = tracker.get("road-scenes_eval:v0").json("summary.json")
    for value in (summary["final_miou"], summary["final_iou"]["road"], summary["baseline"]["miou"]):
        assert f"{value:.3f}" in html
    worst = shown(notebook, 'order_by="miou"')
    count = min(4, summary["images"])
    assert "Ground truth" in worst and "Predicted" in worst and overlays(worst) == 2 * count
    assert (folder / ".sightline" / "reports" / "road-scenes_report.html").is_file()
    comparison = shown(notebook, "sightline.compare(")
    assert "mobilenet_v3_small" in comparison and "less road-scenes_eval:v0" in comparison
    assert "staging is road-scenes_model:v" in printed(notebook)
    assert tracker.get("road-scenes_model:staging").type == "model"


def test_a_class_that_no_image_shows_has_no_row_among_the_mistakes(tmp_path):
    (tmp_path / "confusion.csv").write_text("Target,road,person\nroad,3,1\nperson,0,0\n")
    (cell,) = [cell.source for cell in kept("03_baseline").cells if "background_gradient" in cell.source]
    scope = {"pd": pandas, "evaluation": SimpleNamespace(path=tmp_path.joinpath)}
    exec(cell, scope)  # pandas draws what is undefined in black
    assert scope["shares"].to_dict("index") == {"road": {"road": 75.0, "person": 25.0}}


def test_long_work_shows_a_bar_that_is_full_at_the_end(executed):
    html = shown(executed["03_baseline"], "model = sightline.train(")
    done, total = re.search(r'<progress value="(\d+)" max="(\d+)"></progress> training \(batches\)', html).groups()
    assert done == total and int(total) > 0
    assert html.count("training (batches)") == 1, "drawn again in its place"


def small(folder):
    return load_config(None, {"store": str(folder / ".sightline")})


@pytest.mark.slow
def test_at_full_size_the_baseline_is_better_than_none(tmp_path):
    """As they are kept, one after another; minutes."""
    for name in NAMES:
        execute(kept(name), name, tmp_path)
    summary = sightline.open_tracker(small(tmp_path)).get("road-scenes_eval:v0").json("summary.json")
    assert summary["final_miou"] > 2 * summary["baseline"]["miou"]


# The page on the course

PAGE = (ROOT / "docs" / "from-the-wandb-course.md").read_text(encoding="utf-8")


def test_commands_of_the_page_on_the_course_exist():
    group = typer.main.get_command(app)
    lines = [line[2:] for block in blocks(PAGE, "console") for line in block.splitlines() if line.startswith("$ ")]
    ours = [shlex.split(line)[1:] for line in lines if line.startswith("sightline ")]
    assert {line[0] for line in ours} >= {"run", "sweep", "compare", "promote", "evaluate", "report"}
    for name, *arguments in ours:
        group.commands[name].make_context(name, arguments)  # raises where an argument is unknown
    flags = {flag for command in group.commands.values() for option in command.params for flag in option.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= flags


CELLS = {
    "01_EDA": "requirements.txt / DEBUG / imports / untar_data(URL) / path.ls() / label_func / get_classes_per_image / "
    "_create_table / wandb.init / RAW_DATA_AT / add_file / add_dir / get_image_files / image_files[:10] / "
    'raw_data_at.add(table, "eda_table") / log_artifact / finish',
    "02_Split": "`data_split` / use_artifact / download() / os.listdir / s.split('-')[0] / get_column('bicycle') / "
    "StratifiedGroupKFold(n_splits=10) / value_counts() / df.to_csv('data_split.csv') / PROCESSED_DATA_AT / "
    "wandb.Table(dataframe=df) / wandb.JoinedTable / add(join_table",
    "03_Baseline": "train_config / set_seed / df[df.Stage != 'test'] / is_valid / image_fname / get_data / "
    "wandb.config / MIOU() / unet_learner / SaveModelCallback / WandbCallback / fit_one_cycle / get_predictions / "
    "create_iou_table / pred_table / learn.validate() / wandb.summary",
    "04_refactor_baseline": "download_data / get_df / log_predictions / log_final_metrics / train(config)",
    "train.py, sweep.yaml": "argparse / getattr(tvmodels / MixedPrecision() / wandb sweep / wandb agent",
    "eval.py": "tags=['staging'] / model-registry / logged_by().config / ds_idx / count_by_class / log_hist / "
    "display_diagnostics",
}
"""What the cells of the course call, in their order."""


@pytest.mark.parametrize("notebook", CELLS)
def test_the_page_on_the_course_has_a_line_for_each_cell(notebook):
    assert [call for call in CELLS[notebook].split(" / ") if call not in PAGE] == []


def test_what_the_page_on_the_course_calls_is_there():
    for name in re.findall(r"`[^`]*\bsightline\.(\w+)\(", PAGE):
        assert callable(getattr(sightline, name)), name
    tree = json.loads(json.dumps(load_config(None, {"data": "bdd-simple-1k", "tracker": "wandb"}), default=vars))
    settings = {key for section in tree.values() if isinstance(section, dict) for key in section} | set(tree)
    named = {
        name for text in re.findall(r"\bsettings? ((?:`\w+`(?:, | and )?)+)", PAGE) for name in re.findall(r"\w+", text)
    }
    assert len(named) >= 8 and named - {"and"} <= settings
    headings = [slug(heading) for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)]
    assert [heading[:8] for heading in headings if heading.startswith("lesson")] == ["lesson-1"] * 3 + [
        "lesson-2", "lesson-3",
    ]  # fmt: skip
