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
from sightline.terminal import render, render_rows

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
