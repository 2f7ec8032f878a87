"""The pages of text, numbers and charts in a real browser, on a walked synthetic set."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from browser import HOSTILE, Site, serving, settled, watched

import sightline
from sightline.config import load_config
from sightline.sample import make_dataset

CHARTS = {
    "classes": ["cooccurrence", "heat", "shares"],
    "split": ["subsets"],
    "run": ["iou", "confusion", "losses", "lr", "curves"],
}


def state(page):
    """The query string as {key: value}."""
    return {key: values[-1] for key, values in parse_qs(page.evaluate("location.search.slice(1)")).items()}


def drawn(page, name):
    """The plot of a chart, scrolled to, which is when it is fetched."""
    chart = page.locator(f"[data-figure={name}]")
    chart.scroll_into_view_if_needed()
    plot = chart.locator(".js-plotly-plot")
    plot.wait_for()
    return plot


def click_cell(page, plot, row, column):
    """Click into the cell of a heat map: where it lies is asked of plotly, as a reader would see it."""
    plot.scroll_into_view_if_needed()
    x, y = plot.evaluate(
        """(plot, [row, column]) => {
            const { xaxis, yaxis } = plot._fullLayout, box = plot.getBoundingClientRect();
            return [box.x + xaxis._offset + xaxis.l2p(column), box.y + yaxis._offset + yaxis.l2p(row)];
        }""",
        [row, column],
    )
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y, steps=3)
    page.wait_for_timeout(150)
    page.mouse.click(x, y)


def test_the_overview_tells_of_every_stage_and_class(page, site):
    page.goto(site.at("overview", a=site.b))
    settled(page)
    stages = page.locator(".walk-step")
    assert stages.locator("h3").all_inner_texts() == ["Ingest", "Split", "Train", "Evaluate", "Report"]
    assert stages.locator(".status").all_inner_texts() == ["finished"] * 5
    assert site.data in stages.first.inner_text()
    assert page.locator(".class-table tbody tr").count() == len(page.evaluate(CLASSES, site.data))
    lineage = stages.first.get_by_role("link", name="lineage").get_attribute("href")
    assert lineage.startswith("/trackio/artifacts?") and "selected_artifact=scenes" in lineage
    assert "plotly" not in page.content()  # the first page draws no chart
    page.get_by_role("table").get_by_role("link", name="road", exact=True).click()
    assert state(page)["page"] == "images" and state(page)["has"] == "road"


def test_trackios_dashboard_opens_in_the_same_server(page, site):
    page.goto(f"{site.url}/trackio/?project=sightline")
    page.get_by_text("training-1").first.wait_for(timeout=60_000)  # trackio takes seconds to load
    page.wait_for_function("() => [...document.images].every(each => each.complete && each.naturalWidth > 0)")


def test_the_lineage_of_an_artifact_is_drawn(page, site):
    page.goto(f"{site.url}/trackio/artifacts?project=sightline&selected_artifact=scenes&selected_version=v0"
              "&detail_tab=lineage")  # fmt: skip
    page.get_by_text("Click a node for details").wait_for(timeout=60_000)
    assert page.evaluate("Math.max(...[...document.querySelectorAll('main svg')].map(each => each.clientHeight))") < 900


CLASSES = "async (data) => (await (await fetch('/api/classes?data=' + data)).json()).classes"


def test_an_empty_store_names_the_commands_to_run(chromium, tmp_path):
    with serving(tmp_path / "store") as url:
        for page in watched(chromium, Site(url, None, "", ""), width=1440, height=900):
            page.goto(url)
            settled(page)
            assert "sightline run --data FOLDER" in page.locator(".empty").inner_text()


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_drawn_and_told_in_words(page, site, name):
    page.goto(site.at(name))
    settled(page)
    for figure in CHARTS[name]:
        plot = drawn(page, figure)
        assert plot.get_attribute("aria-label")
        chart = page.locator(f"[data-figure={figure}]")
        chart.get_by_text("Values as a table").focus()
        page.keyboard.press("Enter")
        chart.locator("details.values tbody tr").first.wait_for()


def test_a_cell_of_the_confusion_matrix_opens_its_images(page, site):
    page.goto(site.at("run"))
    settled(page)
    click_cell(page, drawn(page, "confusion"), 0, 1)
    page.wait_for_url("**page=images**")
    assert (state(page)["cell"], state(page)["sort"], state(page)["desc"]) == ("0,1", "cell", "1")
    assert state(page)["a"] == site.a
    page.go_back()
    settled(page)
    assert state(page)["page"] == "run"


def test_the_confusion_matrix_by_keyboard(page, site):
    page.goto(site.at("run"))
    settled(page)
    drawn(page, "confusion")
    chart = page.locator("[data-figure=confusion]")
    chart.get_by_text("Values as a table").press("Enter")
    first = chart.locator("tbody a").first
    first.press("Enter")
    page.wait_for_url("**page=images**")
    assert "," in state(page)["cell"]


def test_classes_that_stand_together_open_their_images(page, site):
    page.goto(site.at("classes", name="zzz"))
    settled(page)
    known = page.evaluate(CLASSES, site.data)
    click_cell(page, drawn(page, "cooccurrence"), 0, 1)
    page.wait_for_url("**page=images**")
    assert state(page)["has"].split(",") == [known[0]["name"], known[1]["name"]]
    assert "name" not in state(page)  # a filter of before does not hide what was clicked


def test_a_class_is_chosen_on_its_small_heat_map(page, site):
    page.goto(site.at("classes"))
    settled(page)
    tiles = page.locator(".heat")
    tiles.nth(1).press("Enter")
    assert tiles.nth(1).get_attribute("aria-pressed") == "true"
    page.wait_for_function("() => location.search.includes('class=1')")  # what replaces is written a moment later
    page.reload()
    settled(page)
    assert page.locator(".heat[aria-pressed=true]").count() == 1
    assert tiles.nth(1).get_attribute("aria-pressed") == "true"


def test_the_split_shows_what_its_subsets_share(page, site):
    page.goto(site.at("split"))
    settled(page)
    assert page.locator(".checks li").count() == 3
    assert page.locator(".group-list li").count() > 0
    told = page.evaluate("async (a) => (await (await fetch('/api/split?a=' + a + '&data=scenes:v0')).json())", site.a)
    assert page.locator(".pair").count() == len(told["pairs"])
    page.locator(".tiles a").first.click()
    assert state(page)["split"] == "train"


def test_pairs_that_leak_are_shown_as_images(chromium, tmp_path):
    store = {"data": str(tmp_path / "scenes"), "store": str(tmp_path / "store"), "workers": 1}
    config = load_config(None, store | {"group": r"^(?P<group>[^-]+)-(?P<frame>\d+)"})
    folder = make_dataset(tmp_path / "scenes", drives=2, frames=4, size=(96, 160), workers=1)
    names = sorted(path.name for path in folder.glob("images/*.jpg"))
    rows = [f"{name},{'valid' if place % 4 == 3 else 'train'}" for place, name in enumerate(names)]
    (tmp_path / "split.csv").write_text("\n".join(["File_Name,Stage", *rows]), encoding="utf-8")
    config = replace(config, split=replace(config.split, from_csv=str(tmp_path / "split.csv")))
    sightline.ingest(config)
    sightline.split(config)
    with serving(config.store) as url:
        for page in watched(chromium, Site(url, config, "", ""), width=1440, height=900):
            page.goto(f"{url}/?page=split")
            settled(page)
            touching = page.locator(".pair").filter(has_text="1 frame apart")
            assert touching.count() == 2  # the last frame of each drive, and the one before
            assert page.locator(".group-list .bad").count() == 4  # both groups, in both subsets
            touching.locator("[data-state=ready]").nth(3).wait_for()
            page.get_by_role("link", name="Run").click()  # no predictions yet: the commands that make them
            assert "sightline train" in page.locator(".empty").inner_text()
            page.get_by_role("link", name="Overview").click()
            settled(page)
            page.locator(".walk-step.is-missing code").first.wait_for()  # `settled` may still see the page before
            assert page.locator(".walk-step.is-missing code").all_inner_texts()[0].startswith("sightline train")


def test_two_runs_on_the_same_images(page, site):
    page.goto(site.at("compare"))
    settled(page)
    page.locator(".run-choices a").filter(has_text=site.b).click()
    settled(page)
    assert state(page)["b"] == site.b
    drawn(page, "difference")
    assert "train.epochs" in page.get_by_role("region", name="Settings that differ").inner_text()
    assert page.locator(".four .pane:visible").count() == 4
    page.keyboard.press("b")
    page.wait_for_function("() => document.querySelectorAll('.four .pane:not([hidden])').length === 1")
    page.keyboard.press("b")
    page.wait_for_function("() => document.querySelectorAll('.four .pane:not([hidden])').length === 4")
    page.get_by_role("button", name="The next image").click()
    page.wait_for_function("() => location.search.includes('pick=')")
    page.locator(".four-name a").click()
    assert (state(page)["page"], state(page)["b"]) == ("image", site.b)


def test_the_report_stands_in_a_frame_that_can_do_nothing(page, site):
    page.goto(site.at("report", a=site.b))
    settled(page)
    frame = page.locator(".framed iframe")
    assert "allow-same-origin" not in frame.get_attribute("sandbox")
    inner = page.frame_locator(".framed iframe")
    inner.locator("h1").wait_for()
    inner.locator(".js-plotly-plot").first.wait_for()


def test_a_run_without_a_report_says_so(page, site):
    page.goto(site.at("report"))
    settled(page)
    assert f"sightline report --evaluation {site.a}" in page.locator(".report-frame .command").inner_text()
    assert page.locator("#rail .counted").inner_text() == "18 images"


def test_a_report_and_a_file_of_the_selection(page, site):
    page.goto(site.at("report", a=site.b, split="valid"))
    settled(page)
    page.get_by_role("button", name="Write a report of them").click()
    link = page.locator(".outcome a")
    link.wait_for()
    page.frame_locator(".framed iframe").locator("h1").wait_for()
    page.get_by_role("button", name="Export them as one file").click()
    page.get_by_role("button", name="Write the file").click()
    saved = page.get_by_role("link", name="Save the file")
    with page.expect_download() as found:
        saved.click()
    assert HOSTILE not in found.value.path().read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["run", "compare", "report"])
def test_no_run_is_chosen_or_there_is_none_to_choose(page, site, name):
    page.goto(site.at(name, a="none"))
    settled(page)
    assert "Choose one above" in page.locator(".empty").inner_text()
    catalog = page.evaluate("async () => (await fetch('/api/catalog')).json()")
    page.route("**/api/catalog", lambda route: route.fulfill(json=catalog | {"evaluations": []}))
    page.reload()
    settled(page)
    assert (
        f"sightline split --raw {site.data} && sightline train && sightline evaluate"
        in page.locator(".empty").inner_text()
    )


def test_what_fails_says_why_and_can_be_tried_again(page, site):
    page.expected.append("500")
    page.route(
        "**/api/figures/confusion**", lambda route: route.fulfill(status=500, json={"error": "The table is gone."})
    )
    page.goto(site.at("run"))
    settled(page)
    chart = page.locator("[data-figure=confusion]")
    chart.scroll_into_view_if_needed()
    chart.get_by_role("alert").wait_for()
    assert "The table is gone." in chart.inner_text()
    page.unroute("**/api/figures/confusion**")
    chart.get_by_role("button", name="Try again").click()
    drawn(page, "confusion")


@pytest.mark.parametrize("name", ["overview", "images", "image", "classes", "split", "run", "compare", "report"])
@pytest.mark.parametrize("measured", [True, False], ids=["measured", "without predictions"])
def test_nothing_is_cut_in_a_narrow_window(narrow, site, name, measured):
    runs = {"a": site.b, "b": site.a} if measured else {"a": None}
    if not measured:
        catalog = narrow.request.get(f"{site.url}/api/catalog").json()
        narrow.route("**/api/catalog", lambda route: route.fulfill(json=catalog | {"evaluations": []}))
    narrow.goto(site.at(name, **runs, image=f"{HOSTILE}.jpg"))
    settled(narrow)
    assert narrow.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")


def test_charts_follow_light_and_dark(page, site):
    page.goto(site.at("run"))
    settled(page)
    plot = drawn(page, "iou")
    light = plot.evaluate("plot => plot._fullLayout.font.color")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("before => document.querySelector('.plot')._fullLayout.font.color !== before", arg=light)
