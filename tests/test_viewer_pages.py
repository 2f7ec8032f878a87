"""What the pages of the viewer are told: overview, split, run, comparison, charts, report of a selection."""

import dataclasses
import json
import re
import shutil

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import sightline
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.comparison import compare_evaluations
from sightline.config import Problem
from sightline.errors import ConfigError, StoreError
from sightline.reporting.division import split_facts
from sightline.reporting.material import open_divided, open_material
from sightline.reporting.training import training_facts
from sightline.stages.report import lineage, report
from sightline.thumbnails import POSITIONS
from sightline.tracking import open_tracker
from sightline.viewer import classes as of_classes
from sightline.viewer import figures, links
from sightline.viewer.app import build
from sightline.viewer.division import pairs, split_of
from sightline.viewer.export import view_of
from sightline.viewer.guard import LOOPBACK, Guard
from sightline.viewer.overview import overview_of, stages
from sightline.viewer.runs import measured, run_of, wanted
from sightline.viewer.selection import narrowed, published, report_of, write_report
from sightline.viewer.viewer import Viewer
from sightline.viewer.walk import latest_split


@pytest.fixture(scope="module")
def walked(trained, tmp_path_factory):
    """(configuration, tracker, two evaluations): a copy of the trained store in which all five stages ran, and a second
    model was trained and measured."""
    first, folder, _ = trained
    store = tmp_path_factory.mktemp("walked") / "store"
    shutil.copytree(folder / "store", store)
    config = dataclasses.replace(first, store=str(store))
    tracker = open_tracker(config)
    a = sightline.evaluate(config, tracker, model="scenes_model:v0")
    report(config, tracker, evaluation=a)
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, lr=0.004, loss="ce"))
    b = sightline.evaluate(other, tracker, model=sightline.train(other, tracker))
    return config, tracker, a, b


# overview


def test_the_walk_as_five_stages_with_their_runs(walked):
    _, tracker, a, b = walked
    found = overview_of(tracker, tracker.get("scenes:v0"), a)
    assert [one["stage"] for one in found["stages"]] == ["ingest", "split", "train", "evaluate", "report"]
    assert [one["spec"] for one in found["stages"]] == [
        "scenes:v0", "scenes_split:v0", "scenes_model:v0", "scenes_eval:v0", "scenes_report:v0",
    ]  # fmt: skip
    assert {one["status"] for one in found["stages"]} == {"finished"}
    assert all(one["seconds"] > 0 and re.match(r"\d{4}-", one["created"]) for one in found["stages"])
    facts = [one["facts"] for one in found["stages"]]
    assert facts[0] == "12 images of 6 groups"
    assert facts[1] == "4 train · 4 valid · 4 test"
    assert facts[2].startswith("best mIoU 0.") and facts[2].endswith("on valid, epoch 1")
    assert facts[3].startswith("mIoU 0.") and facts[3].endswith("on 4 images of valid")
    assert facts[4] == "no targets set"
    assert found["counts"] == {"images": 12, "groups": 6, "drives": 6, "sizes": [[160, 96, 12]]}
    assert (found["warnings"], found["skipped"], found["changes"]) == ([], [], None)
    json.dumps(found, allow_nan=False)
    latest = stages(tracker, tracker.get("scenes:v0"))
    assert latest[3]["spec"] == b.spec
    assert (latest[4]["spec"], latest[4]["status"]) == (None, "missing")
    assert latest[4]["command"] == f"sightline report --evaluation {b.spec}"


def test_what_is_missing_says_how_it_is_made(trained, tmp_path):
    config = dataclasses.replace(trained[0], store=str(tmp_path / "store"))
    tracker = open_tracker(config)
    raw = sightline.ingest(config, tracker)
    found = stages(tracker, raw)
    assert [one["status"] for one in found] == ["finished", "missing", "missing", "missing", "missing"]
    assert [one["command"] for one in found[1:]] == [
        "sightline split --raw scenes:v0", "sightline train", "sightline evaluate", "sightline report",
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError), tracker.run("data_split", config={}) as run:
        run.use(raw)
        _ = 1 / 0
    failed = stages(tracker, raw)[1]
    assert (failed["status"], failed["spec"]) == ("failed", None)
    assert "ZeroDivisionError" in failed["error"]
    with tracker.run("data_split", config={}) as run:
        run.use(raw)
        assert stages(tracker, raw)[1]["status"] == "running"
    assert latest_split(tracker, raw) is None


# split


def test_the_split_with_its_checks_groups_and_pairs(walked):
    _, tracker, *_ = walked
    found = split_of(latest_split(tracker, tracker.get("scenes:v0")))
    assert found["spec"] == "scenes_split:v0"
    assert [one["well"] for one in found["checks"]] == [True, True, True]
    assert sum(one["images"] for one in found["groups"]) == 12
    assert {one["subset"] for one in found["groups"]} == {"train", "valid", "test"}
    assert [one["Class"] for one in found["class_shares"]] == list(ROAD_SCENE.names)
    assert found["pairs"] == []
    json.dumps(found, allow_nan=False)


def test_pairs_name_both_images_and_how_near_they_are():
    near = {"a": "x.jpg", "b": "<b>.jpg", "a_subset": "train", "b_subset": "valid", "distance": 3}
    touching = {"a": "y.jpg", "b": "z.jpg", "a_subset": "train", "b_subset": "test", "drive": "d", "frames_apart": 1}
    assert pairs({"near_duplicates": [near], "touching": [touching]}) == [
        {"kind": "near-duplicate", "bits": 3, "left": {"File_Name": "x.jpg", "Stage": "train"},
         "right": {"File_Name": "<b>.jpg", "Stage": "valid"}},
        {"kind": "touching", "frames": 1, "left": {"File_Name": "y.jpg", "Stage": "train"},
         "right": {"File_Name": "z.jpg", "Stage": "test"}},
    ]  # fmt: skip


# run


def test_a_run_in_numbers(walked):
    _, tracker, a, _ = walked
    found = run_of(tracker, a, Problem(target_iou={"road": 0.99}))
    summary = a.json("summary.json")
    assert (found["spec"], found["model"], found["subset"], found["images"]) == (a.spec, "scenes_model:v0", "valid", 4)
    assert found["miou"]["iou"] == summary["final_miou"]
    assert found["miou"]["low"] is None
    assert found["no_interval"].startswith("2 groups with labelled pixels")
    assert [one["name"] for one in found["classes"]] == list(ROAD_SCENE.names)
    assert [one["iou"] for one in found["classes"]] == list(summary["final_iou"].values())
    assert found["classes"][1]["status"] == "not met"
    assert found["config"]["train.epochs"] == 1
    assert found["config"]["evaluate.subset"] == "valid"
    assert [row["epoch"] for row in found["history"]] == [1]
    assert found["summary"]["final_miou"] == summary["final_miou"]
    assert found["training_run"].startswith("training-")
    assert "torch" in found["versions"]
    json.dumps(found, allow_nan=False)


# charts


def known_to_plotly(figure):
    """The chart as JSON, checked by plotly's own objects; `customdata` is the viewer's."""
    told = figures.told(figure)
    go.Figure({"data": told["data"], "layout": told["layout"]})
    assert told["alt"].endswith((".", "%"))
    assert told["height"] > 100
    return told


def presence(*rows):
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(HOSTILE.names)})


HOSTILE = ClassMap(("a,b", "<img src=x onerror=alert(1)>", "50% $x$"))


def test_cooccurrence_counts_and_leads_to_the_images(walked):
    counts = of_classes.together(presence((1, 1, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)), HOSTILE)
    assert counts.tolist() == [[3, 2, 0], [2, 3, 0], [0, 0, 0]]
    told = known_to_plotly(of_classes.cooccurrence(counts, HOSTILE))
    heat = told["data"][0]
    assert heat["z"] == [[1.0, pytest.approx(2 / 3), 0.0], [pytest.approx(2 / 3), 1.0, 0.0], [None, None, None]]
    assert heat["customdata"][0][0] == {"page": "images", "has": "a%2Cb"}
    assert heat["customdata"][0][1] == {"page": "images", "has": "a%2Cb,%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E"}
    assert "<img" not in json.dumps(told["layout"]) + json.dumps(heat["hovertext"])


def test_shares_have_a_bar_for_none_and_for_each_step():
    values = np.array([0.0, 0.0, 0.0004, 0.001, 0.3, 1.0])
    told = known_to_plotly(of_classes.shares(values, HOSTILE.names[0], "#ff0000"))
    bars = told["data"][0]
    assert sum(bars["y"]) == 6
    assert bars["y"][:3] == [2, 1, 1]
    assert bars["y"][-2:] == [1, 1]
    assert bars["customdata"][0] == {"page": "images", "lacks": "a%2Cb"}
    assert bars["customdata"][1] == {"page": "images", "has": "a%2Cb", "share": "a%2Cb::0.001"}
    assert bars["customdata"][-1] == {"page": "images", "has": "a%2Cb", "share": "a%2Cb:0.5:1"}


def test_a_heat_map_stands_as_the_image_does():
    told = known_to_plotly(of_classes.heat([[0.0, 0.5], [1.0, 0.25]], "<b>", "#00ff00"))
    assert told["data"][0]["z"] == [[0.0, 0.5], [1.0, 0.25]]
    assert told["layout"]["yaxis"]["autorange"] == "reversed"


def test_curves_have_the_classes_colours_and_the_difference_its_intervals(walked):
    _, tracker, a, b = walked
    told = known_to_plotly(figures.iou_curves(training_facts(measured(tracker, a))))
    assert told["data"][0]["name"] == "mIoU"
    assert {trace["line"]["color"] for trace in told["data"][1:]} <= set(ROAD_SCENE.colors)
    comparison, settings = compare_evaluations(tracker, a, b)
    assert {one.key for one in settings} >= {"train.lr", "train.loss", "model"}
    told = known_to_plotly(figures.differences(comparison, ROAD_SCENE.colors))
    points = told["data"][0]
    assert points["x"] == [one.difference for one in comparison.metrics]
    assert points["error_x"]["array"] == [None] * 8
    with_interval = tuple(dataclasses.replace(one, a=0.5, b=0.6, interval=(0.05, 0.2)) for one in comparison.metrics)
    told = known_to_plotly(
        figures.differences(dataclasses.replace(comparison, metrics=with_interval), ROAD_SCENE.colors)
    )
    assert told["data"][0]["error_x"]["array"] == [pytest.approx(0.1)] * 8
    assert told["data"][0]["error_x"]["arrayminus"] == [pytest.approx(0.05)] * 8
    assert known_to_plotly(figures.figures.subset_shares(split_facts(open_divided(tracker.get("scenes_split")))))


def test_links_are_as_the_page_writes_them():
    assert links.joined(["traffic light", "a,b"]) == "traffic%20light,a%2Cb"
    assert links.bounded("a:b", None, 0.3) == "a%3Ab::0.3"
    assert links.images(has="x") == {"page": "images", "has": "x"}


# the report of a selection


@pytest.fixture(scope="module")
def material(walked):
    _, tracker, a, _ = walked
    return open_material(*lineage(tracker, a))


def test_a_selection_of_all_images_says_what_the_evaluation_says(material):
    whole = narrowed(material, set(material.eda["File_Name"]), "")
    assert (whole.confusion == material.confusion).all()
    for key, value in material.summary.items():
        assert whole.summary[key] == value or whole.summary[key] == pytest.approx(value), key
    assert len(whole.eda) == 12


def test_a_selection_is_measured_anew(material):
    names = material.predictions["File_Name"].tolist()[:1]
    one = narrowed(material, [*names, "of train.jpg"], "has=person")
    row = material.predictions.iloc[0]
    assert one.summary["images"] == 1
    assert one.summary["groups"] == 1
    assert one.summary["final_miou"] == pytest.approx(row["miou"])
    assert one.summary["final_loss"] == pytest.approx(row["loss"])
    assert one.confusion.tolist() == np.reshape(row["confusion"], one.confusion.shape).tolist()
    assert one.summary["interval"]["reason"].startswith("1 group")
    assert one.summary["baseline"]["class"] == material.summary["baseline"]["class"]
    assert (len(one.eda), len(one.rows), len(one.predictions)) == (1, 1, 1)
    assert "about 2 images of 12, selected in the viewer by has=person" in one.selection
    with pytest.raises(ConfigError, match=r"None of the 1 selected image was measured .* \(split=valid\)"):
        narrowed(material, ["of train.jpg"], "")


def test_the_report_of_a_selection_says_so_and_is_no_artifact(walked, material):
    config, tracker, a, _ = walked
    before = [one.spec for one in tracker.artifacts()]
    names = material.predictions["File_Name"].tolist()[:2]
    path, images = write_report(tracker, config, a, names, "name=<script>alert(1)</script>")
    page = path.read_text(encoding="utf-8")
    assert images == 2
    assert re.fullmatch(r"selection-scenes_eval-v0-[0-9a-f]{12}\.html", path.name)
    assert "A selection, not the whole" in page
    assert "by name=&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "2 images of the selection" in page
    assert [one.spec for one in tracker.artifacts()] == before
    assert published(tracker.store, path.name) == path
    assert write_report(tracker, config, a, names, "name=<script>alert(1)</script>")[0] == path
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["../checked.json", "nothing.html", "", ".hidden.html", "..", "secret.html"])
def test_only_reports_of_the_store_are_given_out(walked, name, tmp_path):
    _, tracker, *_ = walked
    (tracker.store / "reports").mkdir(exist_ok=True)
    (tracker.store / "reports" / ".hidden.html").write_text("x")
    (tmp_path / "secret.html").write_text("x")
    link = tracker.store / "reports" / "secret.html"
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "secret.html")
    with pytest.raises(StoreError, match="There is no report"):
        published(tracker.store, name)


def test_the_report_of_an_evaluation_or_how_to_make_it(walked):
    _, tracker, a, b = walked
    assert report_of(tracker, a).spec == "scenes_report:v0"
    with pytest.raises(StoreError, match=f"sightline report --evaluation {b.spec}"):
        report_of(tracker, b)


# over HTTP


@pytest.fixture(scope="module")
def client(walked):
    """The viewer on the walked store, asked as a browser on this machine asks it."""
    config, tracker, *_ = walked
    app = Guard(build(Viewer(config, tracker)), LOOPBACK)
    return TestClient(app, base_url="http://127.0.0.1", headers={"X-Sightline": "1"}, raise_server_exceptions=True)


@pytest.fixture
def asked(client, walked):
    """Ask for an address with the walked dataset and runs; returns what the JSON holds."""
    _, _, a, b = walked

    def ask(path, status=200, **parameters):
        known = {"data": "scenes:v0", "a": a.spec, "b": b.spec} | parameters
        response = client.get(path, params={key: value for key, value in known.items() if value is not None})
        assert response.status_code == status, response.text
        return response.json()

    return ask


def test_overview_split_run_and_compare_are_answered(asked):
    assert len(asked("/api/overview")["stages"]) == 5
    assert asked("/api/split")["spec"] == "scenes_split:v0"
    assert asked("/api/split", a=None)["spec"] == "scenes_split:v0"
    assert asked("/api/run")["model"] == "scenes_model:v0"
    compared = asked("/api/compare")
    assert compared["images"] == 4
    assert [one["name"] for one in compared["metrics"]] == ["mIoU", *ROAD_SCENE.names]
    assert compared["reason"].startswith("No interval: 2 groups with labelled pixels")
    assert {one["key"] for one in compared["config"]} >= {"train.lr", "model"}
    moved = compared["better"] + compared["worse"]
    assert all(isinstance(one["id"], int) and one["change"] != 0 for one in moved)
    rows = asked("/api/images")["rows"]
    assert {one["File_Name"]: one["id"] for one in moved}.items() <= {
        one["File_Name"]: one["id"] for one in rows
    }.items()


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_chart_is_one_that_plotly_knows_and_its_links_lead_to_images(asked, name):
    told = asked(f"/api/figures/{name}", **{"class": "1"})
    for trace in told["data"]:
        custom = trace.pop("customdata", [])
        flat = [each for row in custom for each in (row if isinstance(row, list) else [row])]
        for link in flat:
            assert link["page"] == "images"
            found = asked("/api/images", **{key: value for key, value in link.items() if key != "page"})
            assert found["total"] == 12
    go.Figure({"data": told["data"], "layout": told["layout"]})
    assert told["alt"]
    assert told["height"]


def test_a_class_that_was_never_met_leads_to_its_images_too(asked):
    bars, baseline, *_ = asked("/api/figures/iou")["data"]
    assert bars["customdata"] == baseline["customdata"] and len(bars["customdata"]) == len(bars["y"])


def test_a_bar_and_a_cell_lead_to_as_many_images_as_they_say(asked):
    shares = asked("/api/figures/shares", **{"class": "4"})["data"][0]
    for count, link in zip(shares["y"], shares["customdata"], strict=True):
        assert asked("/api/images", **{key: link[key] for key in link if key != "page"})["matched"] == count
    cells = asked("/api/figures/cooccurrence")["data"][0]
    for row, texts in zip(cells["customdata"], cells["hovertext"], strict=True):
        for link, text in zip(row, texts, strict=True):
            matched = asked("/api/images", has=link["has"])["matched"]
            assert re.search(rf": {matched} images?", text)


def test_heat_maps_are_what_ingest_stored(asked):
    heat = asked("/api/figures/heat", **{"class": "1"})["data"][0]["z"]
    assert (len(heat), len(heat[0])) == (18, 32)
    assert sum(heat[-2]) > sum(heat[0])


def test_the_subsets_stand_beside_the_whole(asked):
    told = asked("/api/figures/subsets")
    assert [trace["name"] for trace in told["data"]] == ["all", "train", "valid", "test"]


@pytest.mark.parametrize(
    ("path", "parameters", "status", "text"),
    [
        ("/api/figures/nothing", {}, 400, "There is no chart 'nothing'. The charts are: cooccurrence, heat"),
        ("/api/figures/heat", {"class": "7"}, 400, "`class` must be the index of a class, 0 to 6, not '7'"),
        ("/api/figures/shares", {"class": "../x"}, 400, "`class` must be the index"),
        ("/api/run", {"a": "nothing:v9"}, 404, "There is no artifact nothing:v9"),
        ("/api/run", {"a": "scenes:v0"}, 404, "of type raw_data"),
        ("/api/compare", {"b": "../../etc/passwd"}, 404, "There is no artifact"),
        ("/api/overview", {"data": "scenes_eval:v0"}, 404, "of type evaluation"),
        ("/reports/../checked.json", {}, 404, ""),
        ("/reports/%2e%2e%2fchecked.json", {}, 404, ""),
        ("/reports/nothing.html", {}, 404, "There is no report 'nothing.html'"),
    ],
)
def test_what_cannot_be_answered_says_why(client, asked, path, parameters, status, text):
    known = {"data": "scenes:v0", "a": "scenes_eval:v0", "b": "scenes_eval:v1"} | parameters
    response = client.get(path, params=known)
    assert response.status_code == status
    assert text in (response.json()["error"] if text else "")


def test_a_chart_of_an_older_dataset_says_how_to_make_it(walked, asked):
    _, tracker, *_ = walked
    raw = tracker.get("scenes:v0")
    with tracker.run("upload", config={}) as run:
        run.save("older", "raw_data", {path: file for path, file in raw.files.items() if path != POSITIONS})
    told = asked("/api/figures/heat", 404, data="older:v0", **{"class": "1"})
    assert "`sightline ingest --force`" in told["error"]
    split = asked("/api/split", data="older:v0", a=None)
    assert split == {"spec": None, "command": "sightline split --raw older:v0"}


def test_reports_are_pages_of_no_origin(client, walked):
    _, _, a, b = walked
    response = client.get("/report", params={"a": a.spec})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox allow-scripts" in response.headers["content-security-policy"]
    assert "Sightline report" in response.text
    assert client.head("/report", params={"a": a.spec}).status_code == 200
    missing = client.get("/report", params={"a": b.spec})
    assert missing.status_code == 404
    assert "sightline report --evaluation" in missing.json()["error"]


def test_targets_given_to_the_report_alone_hold_in_the_viewer_too(walked, tmp_path):
    config, _, a, _ = walked
    shutil.copytree(config.store, tmp_path / "store", ignore=shutil.ignore_patterns("reports"))
    plain = dataclasses.replace(config, store=str(tmp_path / "store"))
    tracker = open_tracker(plain)
    problem = Problem(target_iou={"road": 0.99})
    report(dataclasses.replace(plain, problem=problem), tracker, evaluation=a)
    own = dataclasses.replace(plain, problem=Problem(target_miou=0.5))
    assert wanted(Viewer(plain, tracker), a) == dataclasses.replace(plain, problem=problem)
    assert wanted(Viewer(own, tracker), a) == own
    client = TestClient(build(Viewer(plain, tracker)), base_url="http://127.0.0.1", headers={"X-Sightline": "1"})
    assert client.get("/api/run", params={"a": a.spec}).json()["classes"][1]["status"] == "not met"
    told = client.post("/api/report", json={"a": a.spec, "filters": ""}).json()
    assert "Of 1 class with a target, 0 met it" in client.get(told["url"]).text


def test_a_report_of_the_selection_is_written_by_post_alone(client, walked):
    _, _, a, _ = walked
    told = client.post("/api/report", json={"a": a.spec, "filters": "split=valid&sort=miou"}).json()
    assert told["images"] == 4
    page = client.get(told["url"])
    assert "A selection, not the whole" in page.text
    assert client.get("/api/report", params={"a": a.spec}).status_code == 405
    refused = client.post("/api/report", json={"a": a.spec, "filters": "split=train"})
    assert refused.status_code == 400
    assert "Select some of that subset (split=valid)" in refused.json()["error"]
    forged = client.post("/api/report", json={"a": a.spec}, headers={"X-Sightline": ""})
    assert forged.status_code == 403


HOSTILE_NOTE = "<script>alert(1)</script>"


def test_flags_are_set_listed_filtered_told_as_csv_and_removed(client, asked):
    names = [row["File_Name"] for row in asked("/api/images")["rows"]][:2]
    body = {"data": "scenes:v0", "names": names, "flag": "wrong label", "note": HOSTILE_NOTE}
    told = client.post("/api/flags", json=body).json()
    assert [(one["File_Name"], one["flag"], one["note"]) for one in told] == [
        (name, "wrong label", HOSTILE_NOTE) for name in names
    ]
    assert asked("/api/flags") == told
    assert asked("/api/images", flag="any")["matched"] == 2
    assert asked("/api/images", flag="duplicate")["matched"] == 0
    csv = client.get("/api/flags.csv", params={"data": "scenes:v0"})
    assert csv.headers["content-type"].startswith("text/csv")
    assert 'filename="scenes-v0-flags.csv"' in csv.headers["content-disposition"]
    assert csv.text.splitlines()[0] == "File_Name,flag,note,when,Image,Mask"
    assert len(csv.text.splitlines()) == 3
    left = client.post("/api/flags/remove", json={**body, "names": names[:1]}).json()
    assert [one["File_Name"] for one in left] == names[1:]
    assert client.post("/api/flags/remove", json={**body, "names": names}).json() == []


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"names": ["../../x"], "flag": "duplicate"}, 409, "1 of 1 image is not in scenes:v0"),
        ({"names": "x", "flag": "duplicate"}, 400, "`names` must be a list"),
        ({"names": [1], "flag": "duplicate"}, 400, "`names` must be a list"),
        ({"names": ["x"], "flag": "bad"}, 400, "There is no flag 'bad'"),
        ({"names": ["x"], "flag": ["duplicate"]}, 400, "`flag` must be text"),
        ({"names": [], "flag": "duplicate", "note": {}}, 400, "`note` must be text"),
        ([], 400, "JSON object"),
    ],
)
def test_flags_that_do_not_fit_are_refused(client, body, status, text):
    sent = {"data": "scenes:v0", **body} if isinstance(body, dict) else body
    response = client.post("/api/flags", json=sent)
    assert response.status_code == status
    assert text in response.json()["error"]


def test_the_selection_as_a_file_its_size_first(client, walked):
    _, _, a, _ = walked
    body = {"query": "page=images&split=valid&sort=miou", "data": "scenes:v0", "a": a.spec}
    told = client.post("/api/export", json=body).json()
    assert told["images"] == told["matched"] == 4
    written = client.post("/api/export", json={**body, "write": True}).json()
    assert abs(written["bytes"] - told["bytes"]) < 0.2 * told["bytes"]
    page = client.get(written["url"])
    assert "sandbox" in page.headers["content-security-policy"]
    assert page.text.count('class="photo"') == page.text.count('data-layer="prediction"') == 4
    assert "split=valid&amp;sort=miou" in page.text
    nothing = client.post("/api/export", json={**body, "query": "name=nothing+at+all"})
    assert (nothing.status_code, "No image of scenes:v0" in nothing.json()["error"]) == (400, True)


def test_export_view_takes_the_newest_evaluation_where_none_is_named(walked):
    config, tracker, a, b = walked
    viewer = Viewer(config, tracker)
    assert view_of(viewer, "iou=miou:0:1", newest=True)[0].run == b.spec
    assert view_of(viewer, f"iou=miou:0:1&a={a.spec}", newest=True)[0].run == a.spec
    with pytest.raises(ConfigError, match="needs a run A"):
        view_of(viewer, "iou=miou:0:1")
