"""What the viewer's server answers: rows, filters, pictures, and what it refuses. On a real, walked store."""

import io
import json
import struct
import threading
from itertools import chain, pairwise
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from browser import HOSTILE
from PIL import Image
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient
from test_palette import ciede2000, lab

from sightline.classes import PALETTE, ROAD_SCENE, parse_color
from sightline.errors import ConfigError
from sightline.table import Table
from sightline.tracking import open_tracker
from sightline.viewer import palette
from sightline.viewer.app import build
from sightline.viewer.guard import LOOPBACK, Guard
from sightline.viewer.rows import Rows, Sources
from sightline.viewer.viewer import Viewer

DATA = "scenes:v0"
JSON = {"Content-Type": "application/json", "X-Sightline": "1"}


class NoFlags:
    """A dataset that no one has flagged."""

    def all(self):
        return []


@pytest.fixture(scope="module")
def viewer(walked):
    config, *_ = walked
    return Viewer(config, open_tracker(config))


@pytest.fixture(scope="module")
def client(viewer):
    return TestClient(Guard(build(viewer), LOOPBACK), base_url="http://127.0.0.1:7860")


@pytest.fixture(scope="module")
def tables(walked, viewer):
    """The EDA table and the two prediction tables as pandas frames, keyed by file name."""
    _, a, b = walked
    frames = [
        viewer.raw(DATA).table("eda_table.parquet"),
        *(viewer.evaluation(one).table("pred_table.parquet") for one in (a, b)),
    ]
    return [frame.to_pandas().set_index("File_Name") for frame in frames]


def images(client, walked, **given):
    answer = client.get("/api/images", params={"data": DATA, "a": walked[1], "b": walked[2], **given})
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(found):
    return [row["File_Name"] for row in found["rows"]]


def test_the_catalog_lists_what_there_is(client, walked):
    found = client.get("/api/catalog").json()
    assert [(one["spec"], one["images"], one["latest"]) for one in found["datasets"]] == [(DATA, 18, True)]
    assert [one["spec"] for one in found["evaluations"]] == [walked[2], walked[1]]
    assert {one["raw"] for one in found["evaluations"]} == {DATA}
    assert [one["report"] for one in found["evaluations"]] == ["scenes_report:v0", None]


def test_rows_are_those_of_the_tables(client, walked, tables):
    eda, one, other = tables
    found = images(client, walked)
    assert {row["Frame"] for row in found["rows"]} == {None}  # the names of these images hold no number of a frame
    assert (found["total"], found["matched"], found["empty"]) == (18, 18, None)
    assert names(found) == list(eda.index)
    for row in found["rows"]:
        name = row["File_Name"]
        assert row["share"] == pytest.approx([eda.loc[name, f"{each}_share"] for each in ROAD_SCENE.names])
        assert row["Brightness"] == eda.loc[name, "Brightness"]
        if name in one.index:
            assert row["miou"] == one.loc[name, "miou"] and row["miou_b"] == other.loc[name, "miou"]
            assert row["change"] == pytest.approx(row["miou_b"] - row["miou"])
            expected = [one.loc[name, f"{each}_iou"] for each in ROAD_SCENE.names]
            assert [np.nan if value is None else value for value in row["iou"]] == pytest.approx(expected, nan_ok=True)
        else:
            assert row["iou"] is row["miou"] is row["change"] is None


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({"has": "person"}, lambda eda, _: eda["person"] > 0),
        ({"has": "person,bicycle"}, lambda eda, _: (eda["person"] > 0) & (eda["bicycle"] > 0)),
        ({"lacks": "traffic light"}, lambda eda, _: eda["traffic light"] == 0),
        ({"share": "road:0.2:0.3"}, lambda eda, _: eda["road_share"].between(0.2, 0.3)),
        ({"share": ["road:0.2:", "person::0.01"]}, lambda eda, _: (eda["road_share"] >= 0.2)
         & (eda["person_share"] <= 0.01)),
        ({"bright": "80:110"}, lambda eda, _: eda["Brightness"].between(80, 110)),
        ({"name": "-00002.JPG"}, lambda eda, _: eda.index.str.contains("-00002.jpg", regex=False)),
        ({"name": "%"}, lambda eda, _: eda.index.str.contains("%", regex=False)),
        ({"name": "'"}, lambda eda, _: eda.index.str.contains("'", regex=False)),
        ({"where": "Brightness < 100 AND road_share > 0.2"}, lambda eda, _: (eda["Brightness"] < 100)
         & (eda["road_share"] > 0.2)),
        ({"iou": "miou::0.2"}, lambda eda, one: one["miou"].reindex(eda.index) <= 0.2),
        ({"iou": "road:0.3:"}, lambda eda, one: one["road_iou"].reindex(eda.index) >= 0.3),
    ],
)  # fmt: skip
def test_filters_choose_what_pandas_chooses(client, walked, tables, given, holds):
    eda, one, _ = tables
    found = images(client, walked, **given)
    assert names(found) == list(eda.index[np.asarray(holds(eda, one))])
    assert found["matched"] == len(found["rows"])


def test_names_with_commas_and_colons_are_encoded(client, walked):
    encoded = HOSTILE.replace("%", "%25")
    assert names(images(client, walked, group=encoded)) == [f"{HOSTILE}.jpg"]


def test_a_cell_of_the_confusion_matrix_ranks_by_its_pixels(client, walked, tables):
    _, one, _ = tables
    found = images(client, walked, cell="0,1", sort="cell", desc="1")
    counts = {name: int(cells[1]) for name, cells in one["confusion"].items() if cells[1] > 0}
    assert {row["File_Name"]: row["cell"] for row in found["rows"]} == counts
    assert [row["cell"] for row in found["rows"]] == sorted(counts.values(), reverse=True)


@pytest.mark.parametrize("desc", ["", "1"])
def test_what_is_undefined_sorts_last_both_ways(client, walked, desc):
    values = [row["miou"] for row in images(client, walked, sort="miou", desc=desc)["rows"]]
    known = [value for value in values if value is not None]
    assert 0 < len(known) < 18
    assert known == sorted(known, reverse=bool(desc))
    assert values[len(known) :] == [None] * (18 - len(known))


def test_an_empty_answer_says_what_each_filter_is_to_blame_for(client, walked):
    found = images(client, walked, has="road", name="nowhere")
    assert (found["matched"], found["rows"]) == (0, [])
    assert found["empty"] == [
        {"param": "has", "value": "road", "without": 0},
        {"param": "name", "value": "nowhere", "without": 18},
    ]


def test_pages_follow_on_each_other(client, walked):
    whole = names(images(client, walked, sort="Brightness"))
    parts = [names(images(client, walked, sort="Brightness", offset=offset, limit=7)) for offset in (0, 7, 14)]
    assert list(chain(*parts)) == whole and [len(part) for part in parts] == [7, 7, 4]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"where": "nothing > 3"}, "nothing"),
        ({"where": "1=1; DROP TABLE images"}, "does not fit"),
        ({"where": "1=1); DROP TABLE images; SELECT (1"}, "one condition"),
        ({"where": "1=1) UNION SELECT 1 --"}, "does not fit"),
        ({"where": "EXISTS (SELECT * FROM read_csv('/etc/passwd'))"}, "does not fit"),
        ({"where": "EXISTS (SELECT * FROM read_text('/etc/passwd'))"}, "does not fit"),
        ({"where": "len(list_sort(range(500000000))) > 3"}, "do without 'range'"),
        ({"where": "length(Repeat('x', 2000000000)) > 3"}, "do without 'Repeat'"),
        ({"where": "format('{:>2000000000}', 1) = ''"}, "do without 'format'"),
        ({"where": "length(replace(replace('aa', 'a', 'aaaa'), 'a', 'aaaa')) > 3"}, "do without 'replace'"),
        ({"has": "unicorn"}, "There is no class 'unicorn'"),
        ({"sort": "nowhere"}, "no column 'nowhere'"),
        ({"cell": "9,9"}, "two class indices"),
        ({"share": "road:much:"}, "is no number"),
        ({"offset": "-1"}, "whole number"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(client, walked, given, words):
    answer = client.get("/api/images", params={"data": DATA, "a": walked[1], **given})
    assert answer.status_code in {400, 409}
    assert words in answer.json()["error"]


def test_an_expression_changes_nothing(client, walked):
    for text in ("(DELETE FROM images)", "(SELECT 1 FROM (COPY images TO '/tmp/x'))", "(PRAGMA database_list)"):
        assert client.get("/api/images", params={"data": DATA, "where": text}).status_code == 400
    assert images(client, walked)["matched"] == 18


def test_a_query_that_takes_too_long_is_stopped(viewer, monkeypatch):
    monkeypatch.setattr("sightline.viewer.rows.SECONDS", 0.2)
    tables = ", ".join(f"images AS {name}" for name in "abcdefghij")
    endless = f"(SELECT count(*) FROM {tables} WHERE (a.id * b.id + c.id * d.id + e.id * j.id) % 7 = f.id % 11) > 0"
    with pytest.raises(ConfigError, match="was stopped"):
        viewer.rows(DATA, "", "").count(QueryParams(where=endless))


def test_many_ask_at_once(viewer, walked):
    rows, found = viewer.rows(DATA, walked[1], ""), []
    threads = [
        threading.Thread(target=lambda: found.append(len(rows.select(QueryParams(has="road", sort="miou")))))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [18] * 12


def test_one_image_with_its_neighbours_and_runs(client, walked, tables):
    eda, one, _ = tables
    name = one.index[1]
    drive = list(eda.index[eda["Drive"] == eda.loc[name, "Drive"]])
    found = client.get("/api/image", params={"data": DATA, "a": walked[1], "b": walked[2], "name": name}).json()
    place = drive.index(name)
    assert found["previous"] == (drive[place - 1] if place else None)
    assert [each["File_Name"] for each in found["neighbours"]] == drive
    assert found["a"]["loss"] == one.loc[name, "loss"] and found["b"]["spec"] == walked[2]
    missing = client.get("/api/image", params={"data": DATA, "name": "../../etc/passwd"})
    assert (missing.status_code, "There is no image" in missing.json()["error"]) == (404, True)


def unpacked(content):
    size = struct.unpack("<I", content[:4])[0]
    header, body = json.loads(content[4 : 4 + size]), content[4 + size :]
    cut = lambda span: body[span[0] : span[0] + span[1]] if span else None  # noqa: E731
    return [entry | {layer: cut(entry[layer]) for layer in ("image", "mask", "prediction")} for entry in header]


def test_small_pictures_come_many_at_once(client, walked, viewer, tables):
    eda, one, _ = tables
    asked = {"data": DATA, "a": walked[1], "rows": ",".join(map(str, range(18)))}
    found = client.get("/api/thumbs", params=asked)
    again = client.get("/api/thumbs", params=asked, headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content, found.headers["cache-control"]) == (304, b"", "private, no-cache")
    for entry, name in zip(unpacked(found.content), eda.index, strict=True):
        assert entry["error"] is None
        small = Image.open(io.BytesIO(entry["image"]))
        mask = Image.open(io.BytesIO(entry["mask"]))
        assert (small.format, mask.format, mask.mode) == ("JPEG", "PNG", "L")
        assert small.size == mask.size and max(small.size) <= 240
        assert (entry["prediction"] is not None) == (name in one.index)
        stored = np.array(Image.open(viewer.raw(DATA).path(eda.loc[name, "Mask"])))
        assert set(np.unique(np.array(mask))) <= set(np.unique(stored))
        alone = client.get("/api/thumb/mask", params={"data": DATA, "row": list(eda.index).index(name)})
        assert alone.content == entry["mask"]


@pytest.mark.parametrize(("rows", "status"), [("3,x", 400), ("", 400), ("99", 404), (",".join(["1"] * 500), 400)])
def test_rows_that_are_not_there(client, rows, status):
    assert client.get("/api/thumbs", params={"data": DATA, "rows": rows}).status_code == status


def test_originals(client, walked, viewer, tables):
    eda, one, _ = tables
    name = one.index[0]
    image = client.get("/files/image", params={"data": DATA, "name": name})
    assert image.content == viewer.raw(DATA).path(eda.loc[name, "Image"]).read_bytes()
    assert image.headers["content-type"] == "image/jpeg" and image.headers["x-content-type-options"] == "nosniff"
    mask = Image.open(io.BytesIO(client.get("/files/mask", params={"data": DATA, "name": name}).content))
    assert (mask.mode, mask.size) == ("L", (eda.loc[name, "Width"], eda.loc[name, "Height"]))
    without = next(each for each in eda.index if each not in one.index)
    refused = client.get("/files/prediction", params={"a": walked[1], "name": without})
    assert (refused.status_code, "holds no prediction of" in refused.json()["error"]) == (404, True)


@pytest.mark.parametrize("name", ["../store/trackio/sightline.db", "/etc/passwd", "classes.json", "%2e%2e/x", "\n"])
def test_no_path_leaves_the_store(client, name):
    for path in ("/files/image", "/files/mask"):
        assert client.get(path, params={"data": DATA, "name": name}).status_code == 404
    assert client.get(f"/static/%2e%2e/{quote(name)}").status_code == 404


def test_specs_of_another_kind_are_refused(client, walked):
    assert client.get("/api/images", params={"data": walked[1]}).status_code == 404
    assert client.get("/api/images", params={"data": DATA, "a": DATA}).status_code == 404
    assert client.get("/api/images", params={"data": "../x:v0"}).status_code == 404


def test_another_name_of_this_machine_is_refused(client):
    for host in ("evil.example", "127.0.0.1.evil.example:7860", "", "localhost.evil.example"):
        assert client.get("/api/catalog", headers={"Host": host}).status_code == 400
    for host in ("127.0.0.1", "localhost:9", "[::1]:7860", "LOCALHOST"):
        assert client.get("/api/catalog", headers={"Host": host}).status_code == 200


def test_a_form_of_another_site_changes_nothing(client, viewer):
    body = {"data": DATA, "names": [f"{HOSTILE}.jpg"], "flag": "duplicate", "note": ""}
    for headers in ({}, {"X-Sightline": "1", "Content-Type": "text/plain"}, {"Content-Type": "application/json"}):
        assert client.post("/api/flags", content=json.dumps(body), headers=headers).status_code == 403
    assert viewer.flags(viewer.raw(DATA)).all() == []
    for path in ("/api/flags", "/api/flags/remove", "/api/export", "/api/report"):
        assert client.put(path, json=body).status_code in {404, 405}
    assert client.get("/api/flags/remove").status_code == 405


def test_every_answer_forbids_scripts_from_elsewhere(client):
    for path in ("/", "/api/catalog", "/static/js/main.js", "/nowhere"):
        assert (
            client.get(path)
            .headers["content-security-policy"]
            .startswith("default-src 'self'; img-src 'self' blob: data:")
        )


def test_beyond_loopback_a_token_is_needed_once(viewer):
    client = TestClient(Guard(build(viewer), (), "secret"), base_url="http://192.0.2.7:7860", follow_redirects=False)
    for query in ("", "?token=", "?token=wrong", "?token=%C3%A9%FF", "?token=secre"):
        assert client.get(f"/{query}").status_code == 401
    assert client.get("/", headers={"Cookie": "sightline_token=wrong"}).status_code == 401
    first = client.get("/?page=images&token=secret")
    assert (first.status_code, first.headers["location"]) == (303, "/?page=images")
    assert {"httponly", "samesite=strict"} <= set(first.headers["set-cookie"].lower().split("; "))
    assert client.get("/api/catalog").status_code == 200
    client.cookies.clear()
    onward = client.get("http://192.0.2.7:7860//evil.example/?token=secret")
    assert onward.headers["location"] == "/evil.example/"


def test_the_smallest_difference_is_that_of_the_independent_reckoning():
    for vision in palette.VISION:
        name = "normal" if vision == "none" else vision
        for one, other in pairwise(PALETTE):
            expected = ciede2000(lab(parse_color(one), name), lab(parse_color(other), name))
            assert palette.ciede2000(palette.lab(one, vision), palette.lab(other, vision)) == pytest.approx(expected)
    assert min(palette.smallest_differences(PALETTE[:7]).values()) == pytest.approx(24.76, abs=0.01)


def test_a_class_called_as_sql_would_have_it():
    """Quotes, commas and keywords in names of classes are names."""
    classes = type(ROAD_SCENE)(('a"b', "select, x:y", "100%"))
    texts = {name: ["", ""] for name in ("Image", "Mask", "Group", "Drive", "Split")}
    numbers = {"Frame": [0, 1], "Width": [4, 4], "Height": [2, 2], "Brightness": [1.0, 2.0]}
    columns = {"File_Name": ["1.jpg", "2.jpg"]} | texts | numbers
    for place, name in enumerate((*classes.names, "ignored")):
        columns |= {name: [place % 2, 1], f"{name}_share": [place / 10, 0.5]}
    rows = Rows(Sources(classes, Table(pa.table(columns)), {}, None, None, NoFlags()))
    assert rows.count(QueryParams(has="select%2C x%3Ay")) == 2
    assert rows.count(QueryParams([("share", "100%25:0.3:"), ("lacks", 'a"b')])) == 0
    assert [row["File_Name"] for row in rows.select(QueryParams(sort='a"b_share', desc="1"))] == ["2.jpg", "1.jpg"]
