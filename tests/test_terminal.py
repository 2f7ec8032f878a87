"""What is printed, read back from a console of known width."""

import io
import re

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from sightline.classes import ClassMap
from sightline.errors import ConfigError
from sightline.summary import summarise
from sightline.table import Table
from sightline.terminal import (
    render,
    render_artifact,
    render_artifacts,
    render_evaluation,
    render_rows,
    render_runs,
)
from sightline.tracking import Artifact, RunRecord, StoredFile

CLASSES = ClassMap(("road", "[red]sign[/red]", "bicycle"))


def shown(item, width=120, color=False):
    console = Console(
        file=io.StringIO(), width=width, force_terminal=color, color_system="truecolor" if color else None
    )
    console.print(item)
    return console.file.getvalue()


def line(text, word):
    return next(line for line in text.splitlines() if word in line)


def table(**more):
    columns = {
        "File_Name": ["a[bold].jpg", "b.jpg", "c.jpg"],
        "Image": ["images/a.jpg", "images/b.jpg", "images/c.jpg"],
        "Group": ["g1", "g1", None],
        "Width": [640, 640, 1280],
        "Height": [480, 480, 720],
        "Split": ["train", "valid", "train"],
        "Brightness": [7.25, 110.5, None],
        "road": [1, 1, 1],
        "[red]sign[/red]": [1, 0, 0],
        "bicycle": [0, 0, 0],
        "road_share": [0.5, 0.25, 1.0],
        "[red]sign[/red]_share": [1e-6, 0.0, 0.0],
        "bicycle_share": [0.0, 0.0, 0.0],
        "ignored_share": [0.5 - 1e-6, 0.75, 0.0],
    }
    return Table(pa.table({**columns, **more}), CLASSES)


def with_predictions():
    matrices = [[9, 1, 0, 0, 5, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0, 0], [0] * 9]
    return table(loss=[0.5, None, 2.0], confusion=matrices)


def test_the_headline_counts():
    assert shown(render(summarise(table()))).splitlines()[0].strip() == "3 images · 1 group · 640×480 (2), 1280×720 (1)"
    assert shown(render(summarise(Table(pa.table({"x": [1]}))))).strip() == "1 row"


def test_classes_by_name_as_text_with_counts_and_shares():
    text = shown(render(summarise(table()))).split("Subsets")[0].split("Images in which")[0]
    assert line(text, "road").split() == ["0", "road", "3", "100.00", "%", "75.00", "%"]
    assert line(text, "sign").split() == ["1", "[red]sign[/red]", "1", "33.33", "%", "<0.01", "%"]
    assert line(text, "bicycle").split() == ["2", "bicycle", "0", "0.00", "%", "0.00", "%"]
    assert "IoU" not in text
    assert line(text, "ignored").split() == ["ignored", "25.00", "%"]
    ends = {len(line(text, word).rstrip()) for word in ("road", "sign", "bicycle", "ignored")}
    assert len(ends) == 1  # numbers end in the same column


def test_what_occurs_together_is_a_matrix_and_with_many_classes_a_list():
    text = shown(render(summarise(table()))).split("together")[1].split("Subsets")[0]
    assert line(text, "sign").split()[2:] == ["1", "1", "0"]
    many = ClassMap(tuple(f"c{i}" for i in range(13)))
    columns = {f"c{i}": [1, int(i == 12), 0] if i > 10 else [0, int(i == 3), 0] for i in range(13)}
    text = shown(render(summarise(Table(pa.table(columns), many)))).split("together")[1]
    assert line(text, "12  c12").split(maxsplit=2)[2].strip() == "c11 1, c3 1"
    assert line(text, " c3 ").split()[1:] == ["c3", "c12", "1"]
    assert line(text, " c5 ").split()[1:] == ["c5", "–"]


def test_subsets_stand_side_by_side():
    text = shown(render(summarise(table()))).split("Subsets")[1]
    assert line(text, "Class").split() == ["Class", "train", "valid"]
    assert line(text, "images").split() == ["images", "2", "1"]
    assert line(text, "groups").split() == ["groups", "1", "1"]
    assert "drives" not in text
    assert line(text, "road").split() == ["0", "road", "2", "87.50", "%", "1", "25.00", "%"]


def test_quality_and_the_worst_images():
    text = shown(render(summarise(with_predictions())))
    found = summarise(with_predictions()).quality
    assert found.miou == pytest.approx((10 / 12 + 5 / 7) / 2)
    assert line(text, "mIoU 0").strip().startswith(f"mIoU {found.miou:.3f} · mean image IoU ")
    assert line(text.split("Images in which")[0], "road").split()[-1] == "0.833"
    assert line(text.split("Images in which")[0], "bicycle").split()[-1] == "–"
    worst = text.split("Worst images")[1]
    assert line(worst, "b.jpg").split() == ["b.jpg", "0.250", "–"]
    assert worst.index("b.jpg") < worst.index("a[bold].jpg")
    assert "c.jpg" not in worst


def test_rows_hide_the_wide_columns_and_show_classes_as_a_strip():
    text = shown(render_rows(with_predictions()))
    header = line(text, "File_Name").split()
    assert header == ["File_Name", "Group", "Width", "Height", "Split", "Brightness", "loss", "Classes"]
    assert line(text, "a[bold]").split() == ["a[bold].jpg", "g1", "640", "480", "train", "7.2", "0.500", "01·"]
    assert line(text, "c.jpg").split() == ["c.jpg", "–", "1280", "720", "train", "–", "2.000", "0··"]


def test_numbers_of_a_column_end_at_the_same_place():
    text = shown(render_rows(table(), ["Brightness", "Width", "File_Name"]))
    assert line(text, "a[bold]").index(".2") == line(text, "b.jpg").index(".5")
    assert line(text, "a[bold]").index("640") + 3 == line(text, "c.jpg").index("1280") + 4


def test_asked_for_columns_come_as_asked_and_unknown_ones_are_an_error():
    text = shown(render_rows(with_predictions(), ["[red]sign[/red]_share", "confusion"]))
    assert line(text, "sign").split() == ["[red]sign[/red]_share", "confusion"]
    assert "0.00000100" in text
    assert "9 values" in text
    with pytest.raises(ConfigError, match=r"no column tree, x\. The columns are: File_Name, Image"):
        render_rows(table(), ["tree", "Width", "x"])


def test_the_limit_is_told():
    text = shown(render_rows(table(), limit=2))
    assert "2 of 3 rows" in text
    assert "c.jpg" not in text
    assert "rows" not in shown(render_rows(table(), limit=None))
    assert "0 of 3 rows" in shown(render_rows(table(), limit=0))


def test_stage_is_shown_for_split():
    header = line(shown(render_rows(table(Stage=["test"] * 3))), "File_Name").split()
    assert "Stage" in header
    assert "Split" not in header


def test_chips_are_in_the_colors_of_their_classes():
    classes = ClassMap(("dark", "light"), ("#101010", "#f0f0f0"))
    data = pa.table({"File_Name": ["a"], "dark": [1], "light": [1]})
    for item in (render_rows(Table(data, classes)), render(summarise(Table(data, classes)))):
        text = shown(item, color=True)
        assert re.search(r"\x1b\[38;2;255;255;255;48;2;16;16;16m ?0", text)
        assert re.search(r"\x1b\[38;2;0;0;0;48;2;240;240;240m ?1", text)


def test_control_characters_do_not_reach_the_terminal():
    data = pa.table({"File_Name": ["a\x1b[31m\n.jpg"], "Group": ["\x07"]})
    text = shown(render_rows(Table(data)))
    assert "a�[31m�.jpg" in text
    assert not set("\x1b\x07") & set(text)


def test_a_narrow_terminal_cuts_no_number_in_silence():
    whole = {"640", "480", "1280", "720", "7.2", "110.5", "–"}
    for width in range(12, 32):
        rows = shown(render_rows(table(), ["Width", "Height", "Brightness"]), width).splitlines()[3:]
        cells = [cell for row in rows for cell in row.split()]
        assert cells
        assert all(cell in whole or cell.endswith("…") for cell in cells), (width, cells)


def test_a_table_without_rows():
    empty = Table(table().data.slice(0, 0), CLASSES)
    assert "0 images" in shown(render(summarise(empty)))
    assert "File_Name" in shown(render_rows(empty))
    assert np.array_equal(summarise(empty).together, np.zeros((3, 3)))


def test_a_narrow_terminal_hides_no_column():
    for width in (40, 60, 80, 200):
        text = shown(render_rows(with_predictions()), width)
        assert all(len(row) <= width for row in text.splitlines())
        columns = next(row for row in text.splitlines() if "─" in row)
        names = "".join("".join(row.split()) for row in text[: text.index(columns)].splitlines())
        assert {"F", "G", "W", "H", "S", "B", "l", "C"} <= set(names)  # each heading begins, however narrow
    folded = shown(render_rows(table(), ["File_Name", "Width"]), 16)
    assert "".join(row[:8].strip() for row in folded.splitlines()[4:]).startswith("a[bold].jpgb.jpg")


def evaluation(**changes):
    per_class = {"road": 0.8125, "[red]sign[/red]": 0.0, "bicycle": None}
    summary = {
        "subset": "valid",
        "images": 36,
        "groups": 12,
        "final_miou": 0.40625,
        "final_iou": per_class,
        "interval": {
            "miou": [0.3, 0.5],
            "iou": {"road": [0.7, 0.9], "[red]sign[/red]": [0.0, 0.0], "bicycle": None},
            "level": 0.95,
            "reason": "",
        },
        "baseline": {"class": "road", "miou": 0.2, "iou": {"road": 0.4, "[red]sign[/red]": 0.0, "bicycle": None}},
    }
    return {**summary, **changes}


def test_an_evaluation_stands_beside_its_baseline():
    text = shown(render_evaluation(evaluation(), CLASSES))
    assert text.splitlines()[0].strip() == "IoU on valid (36 images, 12 groups)"
    assert line(text, "Class").split() == ["Class", "IoU", "95", "%", "interval", "always", "road"]
    assert line(text, " 0 ").split() == ["0", "road", "0.812", "0.700", "to", "0.900", "0.400"]
    assert line(text, " 1 ").split() == ["1", "[red]sign[/red]", "0.000", "0.000", "to", "0.000", "0.000"]
    assert line(text, " 2 ").split() == ["2", "bicycle", "–", "–", "–"]
    assert line(text, "mIoU").split() == ["mIoU", "0.406", "0.300", "to", "0.500", "0.200"]
    assert text.index("bicycle") < text.index("mIoU")
    assert "No interval" not in text
    ends = {len(line(text, word).rstrip()) for word in (" 0 ", " 1 ", " 2 ", "mIoU")}
    assert len(ends) == 1


def test_an_evaluation_without_intervals_says_why():
    nothing = {"miou": None, "iou": dict.fromkeys(CLASSES.names), "level": 0.95, "reason": "2 groups, too few"}
    text = shown(render_evaluation(evaluation(interval=nothing, groups=1, final_miou=None), CLASSES))
    assert "(36 images, 1 group)" in text
    assert line(text, "mIoU").split() == ["mIoU", "–", "–", "0.200"]
    assert line(text, " 0 ").split() == ["0", "road", "0.812", "–", "0.400"]
    assert "No interval: 2 groups, too few." in text


def test_an_evaluation_in_a_narrow_terminal_keeps_its_numbers():
    for width in (40, 60):
        text = shown(render_evaluation(evaluation(), CLASSES), width)
        assert {"0.812", "0.700", "0.900", "0.400", "0.406"} <= set(text.split())
        assert all(len(row) <= width for row in text.splitlines())


def record(**changes):
    began = {"started": "2026-05-04T10:11:12.000000+00:00", "finished": "2026-05-04T11:12:14.400000+00:00"}
    facts = {"id": "0" * 8, "name": "training-2", "job_type": "training", "status": "finished", **began}
    return RunRecord(**{**facts, **changes})


def test_runs_with_what_they_read_made_and_found():
    summary = {"final_loss": 1.5, "images": 36, "final_miou": 0.40625, "subset": "valid", "other": 1}
    text = shown(render_runs([record(inputs=("a_model:v0", "a_split:v1"), outputs=("a_eval:v0",), summary=summary)]))
    header, first, second = (row.split() for row in text.splitlines() if row.strip() and "─" not in row)
    assert header == ["Run", "Status", "Began", "(UTC)", "Took", "Inputs", "Outputs", "Result"]
    took = ["training-2", "finished", "4", "May", "10:11", "1:01:02"]
    assert first == [*took, "a_model:v0", "a_eval:v0", "final", "miou", "0.406"]
    assert second == ["a_split:v1", "images", "36"]


def test_runs_that_failed_or_are_under_way():
    failed = record(status="failed", error="DataError: [b]no[/b] images", summary={"images": 3})
    text = shown(render_runs([failed, record(name="upload-1", status="running", finished="", summary={"new": "x"})]))
    assert line(text, "training-2").split()[1:] == ["failed", "4", "May", "10:11", "1:01:02", *failed.error.split()]
    assert line(text, "upload-1").split() == ["upload-1", "running", "4", "May", "10:11", "–", "new", "x"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_list_of_runs_breaks_no_date(width):
    names = {"inputs": ("a_long_name_model:v0", "a_long_name_split:v1"), "outputs": ("a_long_name_eval:v0",)}
    runs = [
        record(name="training-12", started="2025-11-25T12:26:00.000000+00:00", finished="", **names),
        record(**names),
    ]
    assert {"25", "Nov", "2025", "12:26", "4", "May", "2026", "10:11"} <= set(shown(render_runs(runs), width).split())
    text = shown(render_runs(runs[:1]), width)
    assert {"25", "Nov", "12:26"} <= set(text.split()) and "2025" not in text


def test_of_a_long_error_the_list_of_runs_has_the_first_line():
    failed = record(status="failed", error="DataError: 12 problems in 12 images:\n\n12 of 12 images have no mask.")
    assert line(shown(render_runs([failed])), "training-2").endswith("DataError: 12 problems in 12 images: ")
    assert "no mask" not in shown(render_runs([failed]))


def artifact(name="camvid_model", **changes):
    files = {"weights.safetensors": StoredFile("ab" * 32, 1_500_000), "a[b]/c.json": StoredFile("cd" * 32, 20)}
    facts = {"name": name, "type": "model", "version": 3, "digest": "0123456789abcdef" * 4, "files": files}
    return Artifact(**{**facts, "metadata": {}, "aliases": ("latest", "best"), "blobs": None, **changes})


def test_artifacts_with_size_aliases_and_digest():
    text = shown(render_artifacts([artifact(), artifact("d", files={}, aliases=(), version=0)]))
    assert line(text, "Artifact").split() == ["Artifact", "Type", "Aliases", "Files", "Size", "Digest"]
    assert line(text, "camvid").split() == [
        *("camvid_model:v3", "model", "latest,", "best", "2", "1.5", "MB", "0123456789ab"),
    ]
    assert line(text, "d:v0").split() == ["d:v0", "model", "0", "0", "bytes", "0123456789ab"]


def test_an_artifact_with_its_files_in_order():
    text = shown(render_artifact(artifact()))
    assert text.splitlines()[0].strip() == f"camvid_model:v3 (model), digest {artifact().digest}"
    rows = [row.split() for row in text.splitlines()[4:] if row.strip()]
    assert rows == [["a[b]/c.json", "20", "cd" * 32], ["weights.safetensors", "1500000", "ab" * 32]]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lists_fit_the_terminal_and_cut_nothing_in_silence(width):
    runs = [record(inputs=("a_model:v0", "a_split:v1"), outputs=("a_eval:v0",), summary={"final_miou": 0.5})]
    for item, words in (
        (render_runs(runs), ["training-2", "finished", "1:01:02", "a_model:v0", "a_eval:v0", "0.500"]),
        (render_artifacts([artifact()]), ["camvid_model:v3", "model", "latest,", "best", "0123456789ab"]),
        (render_artifact(artifact()), ["weights.safetensors", "1500000", "ab" * 32]),
    ):
        text = shown(item, width)
        assert all(len(row) <= width for row in text.splitlines())
        for word in words:
            assert word in down_the_columns(text), (width, word)


def down_the_columns(text):
    """The cells as they read when those that go on in the next line are put together again."""
    rows = [row.ljust(220) for row in text.splitlines() if row.strip() and "─" not in row]
    edges = [
        0,
        *(i for i in range(1, 220) if all(row[i - 1] == " " for row in rows) and any(row[i] != " " for row in rows)),
    ]
    pieces = ("".join(row[a:b].strip() for row in rows) for a, b in zip(edges, [*edges[1:], 220], strict=True))
    return "\n".join("".join(piece.split()) for piece in pieces)
