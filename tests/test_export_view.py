"""A selection as one HTML file: it loads nothing, names are text, it is written whole or not at all."""

import base64
import hashlib
import io
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sightline.classes import ClassMap
from sightline.cli import app
from sightline.errors import ConfigError, StoreError
from sightline.viewer import export
from sightline.viewer.export import Thumbs, View, estimate, megabytes, with_texts, write

CLASSES = ClassMap(("road", "<b>car</b>", "</script><script>alert(1)</script>"), ("#ff0000", "#00ff00", "#0000ff"))
HOSTILE = "<img src=x onerror=alert(2)>.jpg"


def row(number, name="", **more):
    share = [0.5, 0.25, 0.0]
    return {
        "id": number, "File_Name": name or f"d-{number:03}.jpg", "Group": "d", "Split": "valid", "share": share,
        "iou": [0.5, None, 0.125], "miou": 0.3125, "flags": [], **more,
    }  # fmt: skip


def view(rows, run="d_eval:v0", query="has=road", matched=None):
    tiles = [with_texts(one, bool(run)) for one in rows]
    return View("A <selection>", "d:v0", run, query, CLASSES, tiles, matched or len(tiles), 1000)


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return stream.getvalue()


def jpeg(color=(90, 90, 90)):
    stream = io.BytesIO()
    Image.new("RGB", (24, 16), color).save(stream, format="JPEG")
    return stream.getvalue()


TRUTH = np.repeat(np.array([[0, 0, 1, 255]], np.uint8), 16, axis=0).repeat(6, axis=1)
GUESS = np.repeat(np.array([[0, 2, 1, 1]], np.uint8), 16, axis=0).repeat(6, axis=1)


def source(_):
    return Thumbs(jpeg(), png(TRUTH), png(GUESS))


def written(tmp_path, *arguments, **more):
    path = tmp_path / "view.html"
    size = write(view(*arguments, **more), source, path)
    text = path.read_text(encoding="utf-8")
    assert size == path.stat().st_size
    return text


def test_it_carries_everything_in_itself(tmp_path):
    text = written(tmp_path, [row(number) for number in range(3)])
    assert text.count('class="photo" src="data:image/jpeg;base64,') == 3
    assert text.count('data-layer="ground truth"') == text.count('data-layer="prediction"') == 3
    for attribute in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert attribute.startswith(("data:", "#t"))
    assert "url(" not in text and "@import" not in text and "http" not in text.replace("http-equiv", "")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1].replace("&#39;", "'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    masks = re.findall(r'data-layer="ground truth" src="data:image/png;base64,([^"]+)"', text)
    assert (np.array(Image.open(io.BytesIO(base64.b64decode(masks[0])))) == TRUTH).all()


def test_it_says_what_it_shows(tmp_path):
    text = written(tmp_path, [row(number) for number in range(3)], matched=42)
    parts = ("3 images, the first of 42 that match, of 1,000 in", "<code>d:v0</code>", "<code>d_eval:v0</code>")
    parts += ("Selected by <code>has=road</code>", "mIoU&nbsp;0.312")
    for part in (*parts, '<td class="number">0.50</td><td class="number">–</td>'):
        assert part in text
    alone = written(tmp_path, [row(0)], run="", query="")
    assert "prediction" not in alone.split("<main>")[0].split("</style>")[1]
    assert "Share of each class" in alone
    assert "25.0\u202f%" in alone
    assert "Selected by" not in alone


def test_names_are_text(tmp_path):
    flags = [{"flag": "wrong label", "note": "<script>alert(3)</script>"}]
    text = written(tmp_path, [row(0, HOSTILE, Group="<i>", flags=flags)], query="name=<u>")
    for part in ("<img src=x", "<b>car", "<script>alert", "<u>", "<i>", "A <selection>"):
        assert part not in text
    assert "&lt;img src=x onerror=alert(2)&gt;.jpg" in text
    assert "\\u003c/script>" in text or "alert(1)" not in text.split("application/json")[1].split("</script>")[0]


def test_the_size_is_told_about_right_before_it_is_written(tmp_path):
    for count in (1, 5, 200):
        shown = view([row(number) for number in range(count)])
        told, size = estimate(shown, source), write(shown, source, tmp_path / "view.html")
        assert abs(told - size) < 0.15 * size + 2000
    assert estimate(view([]), source) > 1000
    assert megabytes(12_345_678) == "12.3 MB"


def test_an_image_that_cannot_be_shown_says_why_in_its_place(tmp_path):
    def some(one):
        if one["id"] == 1:
            raise StoreError("images/d-001.jpg of d:v0 is damaged")
        return source(one)

    write(view([row(number) for number in range(3)]), some, tmp_path / "view.html")
    text = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert text.count('class="photo"') == 2
    assert "d-001.jpg cannot be shown: images/d-001.jpg of d:v0 is damaged" in text


def test_what_breaks_off_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "view.html"
    path.write_text("the one before")
    done = []

    def broken_off(one):
        done.append(one)
        if len(done) == 3:
            raise KeyboardInterrupt
        return source(one)

    with pytest.raises(KeyboardInterrupt):
        write(view([row(number) for number in range(9)]), broken_off, path)
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="cannot be written"):
        write(view([row(0)]), source, tmp_path / "no" / "folder.html")


def test_progress_is_told_image_by_image(tmp_path):
    steps = []
    write(view([row(number) for number in range(4)]), source, tmp_path / "v.html", lambda *step: steps.append(step))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_in_a_browser_masks_are_coloured_and_classes_switched_off(tmp_path, chromium):
    written(tmp_path, [row(number) for number in range(2)])
    page = chromium.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto((tmp_path / "view.html").as_uri())
    pixel = """([x, y]) => [...document.querySelector('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"""
    page.wait_for_function("() => document.querySelector('canvas').width === 24")
    assert page.evaluate(pixel, [0, 5]) == [255, 0, 0, 127]
    assert page.evaluate(pixel, [13, 5])[:3] == [0, 255, 0]
    assert page.evaluate(pixel, [20, 5])[3] == 0
    page.locator(".class").first.uncheck()
    page.wait_for_function(f"() => ({pixel})([0, 5])[3] === 0")
    page.get_by_label("prediction").check()
    page.wait_for_function(f"() => ({pixel})([8, 5])[2] === 255")
    page.get_by_label("errors").check()
    page.wait_for_function(f"() => ({pixel})([13, 5])[3] === 0")
    assert page.evaluate(pixel, [8, 0])[3] >= 160
    page.get_by_label("none").check()
    page.wait_for_function(f"() => ({pixel})([8, 0])[3] === 0")
    page.close()
    assert complaints == []


# the command


@pytest.fixture
def command(trained, tmp_path, monkeypatch):
    """`sightline export-view` on the trained store, in an empty folder."""
    config, *_ = trained
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["export-view", *arguments, "--store", config.store])
        assert done.exit_code == code, done.output
        return done

    return run


def test_the_command_tells_the_size_and_writes_the_file(command, tmp_path):
    done = command("sort=road_share&desc=1", "--out", "roads.html", "--limit", "3")
    assert done.stdout.strip() == "roads.html"
    assert re.search(r"export-view: 3 of 12 images, about 0\.\d MB", done.stderr)
    text = (tmp_path / "roads.html").read_text(encoding="utf-8")
    assert text.count('class="photo"') == 3
    assert "3 images, the first of 12 that match, of 12 in <code>scenes:v0</code>" in text
    shares = re.findall(r'<td>\w+</td><td class="number">[^<]*</td><td class="number">([\d.]+)', text)
    assert [float(one) for one in shares] == sorted(map(float, shares), reverse=True)
    assert [path.name for path in tmp_path.iterdir()] == ["roads.html"]


def test_an_address_of_the_viewer_will_do(command, tmp_path):
    command("http://127.0.0.1:7860/?page=images&data=scenes:v0&has=road&alpha=70&view=table", "--data", "scenes")
    text = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert "Selected by <code>has=road</code>" in text


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["has=nothing"], 3, "There is no class 'nothing'"),
        (["name=no+such+image"], 2, "No image of scenes:v0 is selected by name=no+such+image"),
        (["iou=miou::0.5"], 2, "needs a run A"),
        (["--data", "other:v3"], 7, "There is no artifact other:v3"),
        (["--run", "scenes_model:v0"], 7, "of type model"),
        (["--out", "no/such/folder.html"], 2, "cannot be written"),
    ],
)
def test_the_command_says_what_is_wrong(command, tmp_path, arguments, code, text):
    assert text in command(*arguments, code=code).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_is_asked_about(command, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ASK_ABOVE", 1000)
    assert "say --yes to write it" in command(code=2).stderr
    assert list(tmp_path.iterdir()) == []
    command("--yes")
    assert (tmp_path / "view.html").is_file()
