"""The viewer's frame, Images and Image, driven in a real browser."""

import gzip
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import HOSTILE, serving, settled, watched

import sightline

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright").expect

TILE = ".grid-row:not([hidden]) .tile:not([hidden]):not(.waiting)"


def query(page):
    return {key: values[-1] for key, values in parse_qs(urlsplit(page.url).query).items()}


def names(page):
    return page.locator(f"{TILE} .file").all_text_contents()


def shown(page):
    """What a person sees of the view: names in their order, how many, filters, classes that are off."""
    return (
        names(page),
        page.locator(".toolbar .counted").text_content(),
        page.locator(".active-filter > :first-child").all_text_contents(),
        page.locator(".legend .chip.off .name").all_text_contents(),
        page.locator("#opacity").input_value(),
    )


def pixels(page, selector):
    """Distinct colours (red, green, blue, alpha) on a canvas."""
    script = """canvas => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join(","));
      return [...seen];
    }"""
    return set(page.locator(selector).first.evaluate(script))


def painted(page):
    """Wait until every tile has its image and its mask is painted."""
    settled(page)
    page.wait_for_function(
        f"() => [...document.querySelectorAll('{TILE} [data-state=ready] canvas')].every(each => each.width > 1)"
    )


def test_images_shows_every_image_with_its_mask(page, site):
    page.goto(site.at("images"))
    painted(page)
    assert page.locator(".toolbar .counted").text_content() == "18 images"
    assert len(names(page)) == 18
    assert page.locator(".grid-view").get_attribute("aria-rowcount") == "5"
    assert len(pixels(page, f"{TILE} canvas")) > 3


def test_a_filter_stands_in_the_address_and_a_reload_gives_the_same_view(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.get_by_role("button", name="Images with person").click()
    page.locator("#rail input[value=train]").check()
    page.get_by_label("Sort by").select_option("Brightness")
    page.keyboard.press("3")
    page.locator("#opacity").fill("80")
    page.wait_for_function("() => location.search.includes('alpha=80')")
    settled(page)
    before = shown(page)
    state = query(page)
    assert state | {"has": "person", "split": "train", "sort": "Brightness", "desc": "1", "off": "2"} == state
    assert before[2] == ["with person", "subset train"] and before[3] == ["traffic light"]
    page.reload()
    settled(page)
    assert shown(page) == before
    page.go_back()
    page.go_back()
    settled(page)
    assert "split" not in query(page) and query(page)["has"] == "person"


def test_a_link_leads_to_a_place_among_the_images(page, site):
    page.goto(site.at("images", sort="Brightness", at="11", share="road:0.01:", size="s"))
    settled(page)
    chosen = page.locator(f"{TILE}[aria-selected=true]")
    assert (query(page)["at"], chosen.get_attribute("data-place")) == ("11", "11")
    expect(page.locator("#inspector h2")).to_have_text(chosen.locator(".file").text_content())
    assert page.get_by_label("Pixel share: class").input_value() == "road"
    assert page.get_by_label("Pixel share: at least").input_value() == "1"


def test_a_link_leads_to_a_place_in_an_image(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.goto(site.at("image", image=names(page)[0]))
    page.wait_for_selector(".panes[data-ready]")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.wait_for_url("**zoom=2.25:**")
    place = page.locator(".stage").first.get_attribute("style")
    page.reload()
    page.wait_for_selector(".panes[data-ready]")
    expect(page.locator(".scale")).to_have_text("225%")
    assert page.locator(".stage").first.get_attribute("style") == place
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "zoom" not in url)


def test_from_images_to_an_error_map_by_keyboard(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.keyboard.press("w")
    page.wait_for_url("**sort=miou**")
    settled(page)
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("w")
    page.wait_for_url(lambda url: "sort=" not in url)
    page.keyboard.press("w")
    settled(page)
    page.wait_for_function("() => document.activeElement.getAttribute('aria-selected') === 'true'")
    worst = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".panes[data-ready]")
    assert worst.startswith(query(page)["image"])
    page.keyboard.press("e")
    expect(page.locator(".pane:visible .pane-title")).to_have_text("Error map A")
    page.wait_for_url("**layers=error**")
    page.wait_for_function("() => document.querySelector('.pane[data-view=error] canvas').width > 1")
    stripes = pixels(page, ".pane[data-view=error] canvas")
    assert "0,0,0,0" in stripes and stripes & {"255,255,255,255", "0,0,0,255"}
    page.keyboard.press("Escape")
    page.wait_for_url("**page=images**")
    settled(page)
    assert query(page)["sort"] == "miou"


def test_switching_a_class_asks_the_server_nothing(page, site):
    page.goto(site.at("images"))
    painted(page)
    canvas = f"{TILE} canvas"
    before = pixels(page, canvas)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.addEventListener('sightline:painted', event => (window.last = event.detail))")
    for key in ("2", "Shift+Digit1", "Shift+Digit1", "]", "["):
        page.evaluate("window.last = null")
        page.keyboard.press(key)
        page.wait_for_function("() => window.last")
        assert page.evaluate("window.last.surfaces") >= 16
    page.locator(".chip[data-index='1'] input").fill("#ff00aa")
    page.wait_for_function("() => location.search.includes('colors=1:ff00aa') && !location.search.includes('off')")
    page.wait_for_timeout(200)
    after = pixels(page, canvas)
    assert any(re.fullmatch(r"25\d,[0-3],1[67]\d,1\d\d", each) for each in after - before)  # #ff00aa, half clear
    assert asked == []


def test_a_hostile_name_is_text(page, site):
    page.goto(site.at("images", name="onerror"))
    painted(page)
    assert names(page) == [f"{HOSTILE}.jpg"]
    page.locator(f"{TILE} .file").click()
    page.wait_for_selector(".panes[data-ready]")
    assert page.locator("h1").text_content() == f"{HOSTILE}.jpg"
    assert query(page)["image"] == f"{HOSTILE}.jpg"
    page.reload()
    page.wait_for_selector(".panes[data-ready]")
    assert page.locator("img[src=x]").count() == 0


def test_an_empty_view_says_which_filter_is_to_blame_and_removes_it_in_one_click(page, site):
    page.goto(site.at("images", has="road", name="nowhere"))
    settled(page)
    empty = page.locator(".view-room .empty")
    expect(empty).to_contain_text("No image of 18 passes the filters")
    offers = empty.locator(".offers a")
    expect(offers).to_have_count(1)
    expect(offers).to_have_text("Remove name has “nowhere”")
    offers.click()
    settled(page)
    assert "name" not in query(page) and query(page)["has"] == "road"
    assert names(page)


def test_an_expression_that_fails_says_so_and_can_be_removed(page, site):
    page.expected.append("400")
    page.goto(site.at("images", where="no_such_column > 3"))
    box = page.locator(".view-room .error-box")
    expect(box).to_contain_text("no_such_column")
    box.get_by_text("Remove the SQL expression").click()
    settled(page)
    assert len(names(page)) == 18


def test_an_expression_chooses_images(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.get_by_text("SQL expression").click()
    page.get_by_label("SQL expression").fill('"road_share" > 0.1 AND Brightness > 0')
    page.keyboard.press("Enter")
    page.wait_for_url("**where=**")
    settled(page)
    assert page.locator(".active-filter").count() == 1


def test_the_table_sorts_by_its_headings(page, site):
    page.goto(site.at("images", view="table"))
    settled(page)
    head = page.get_by_role("columnheader", name="Brightness")
    head.locator("a").click()
    page.wait_for_url("**sort=Brightness**")
    settled(page)
    expect(head).to_have_attribute("aria-sort", "ascending")
    place = int(head.get_attribute("aria-colindex"))
    cells = page.locator(f".table-row:not([hidden]) [aria-colindex='{place}']").all_text_contents()
    order = page.evaluate(
        "[...document.querySelectorAll('.table-row:not([hidden])')].map(row => Number(row.dataset.place))"
    )
    values = [float(value) for _, value in sorted(zip(order, cells, strict=True))]
    assert len(values) == 18 and values == sorted(values)
    assert page.locator(".table-view").get_attribute("aria-rowcount") == "19"


def test_an_undefined_iou_is_a_dash_and_sorts_last_both_ways(page, site):
    for desc in (None, 1):
        page.goto(site.at("images", view="table", sort="miou", desc=desc))
        settled(page)
        cells = page.locator(".table-row:not([hidden]) [aria-colindex='3']").all_text_contents()
        order = page.evaluate(
            "[...document.querySelectorAll('.table-row:not([hidden])')].map(row => Number(row.dataset.place))"
        )
        values = [value for _, value in sorted(zip(order, cells, strict=True))]
        known = [float(value) for value in values if value != "–"]
        assert 0 < len(known) < 18 and values[len(known) :] == ["–"] * (18 - len(known))
        assert known == sorted(known, reverse=bool(desc))


def test_the_panes_move_together_and_read_the_pixel(page, site):
    page.goto(site.at("images", sort="miou"))
    settled(page)
    page.keyboard.press("Enter")
    page.wait_for_selector(".panes[data-ready]")
    titles = page.locator(".pane-title").all_text_contents()
    assert titles == ["Ground truth", "Prediction A", "Error map A", "Image"]
    page.locator(".pane-window").first.hover(position={"x": 200, "y": 120})
    page.mouse.wheel(0, -400)
    page.wait_for_function("() => document.querySelector('.scale').textContent !== '100%'")
    moves = page.locator(".stage").evaluate_all("stages => [...new Set(stages.map(stage => stage.style.transform))]")
    assert len(moves) == 1 and "scale(1)" not in moves[0]
    reads = page.locator(".pane .read").all_text_contents()
    classes = set(page.locator(".legend .chip[data-index] .name").all_text_contents()) | {"ignored"}
    assert reads[0] in classes and reads[1] in classes
    assert re.fullmatch(r"x \d+, y \d+", reads[3])
    page.keyboard.press("0")
    expect(page.locator(".scale")).to_have_text("100%")


def test_run_b_stands_beside_run_a_and_blinks(page, site):
    page.goto(site.at("images", b=site.b, sort="miou"))
    settled(page)
    page.keyboard.press("Enter")
    page.wait_for_selector(".panes[data-ready]")
    assert page.locator(".pane").count() == 6
    page.emulate_media(reduced_motion="reduce")
    seen = []
    for _ in range(3):
        page.keyboard.press("b")
        seen.append(page.locator(".pane:visible .pane-title").all_text_contents())
    assert seen[:2] == [["Prediction A"], ["Prediction B"]] and len(seen[2]) == 6


def test_a_flag_with_its_note_is_set_listed_and_removed(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.keyboard.press("f")
    page.get_by_role("radio", name="interesting").check()
    page.get_by_label("Note").fill("<b>look</b> here")
    page.get_by_role("button", name="Flag", exact=True).click()
    expect(page.locator(".inspector .flag-list")).to_contain_text("<b>look</b> here")
    expect(page.locator(".tile .flags").first).to_have_text("⚑ interesting")
    page.reload()
    settled(page)
    expect(page.locator(".tile .flags").first).to_have_text("⚑ interesting")
    page.locator(".inspector").get_by_role("button", name="All flags").click()
    expect(page.locator("dialog tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_text("Download CSV").click()
    assert "<b>look</b> here" in download.value.path().read_text(encoding="utf-8")
    page.keyboard.press("Escape")
    page.locator(".inspector").get_by_role("button", name="Remove the flag interesting").click()
    expect(page.locator(".inspector .flag-list")).to_have_count(0)


def test_the_help_names_the_keys_and_the_smallest_difference_of_colours(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.keyboard.press("?")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("ΔE 24.7")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_keys_do_nothing_while_one_writes(page, site):
    page.goto(site.at("images"))
    settled(page)
    page.keyboard.press("/")
    page.keyboard.type("1w")
    page.wait_for_url("**name=1w**")
    assert "off" not in query(page) and "sort" not in query(page)


def test_everything_is_reached_with_the_tab_key(page, site):
    page.goto(site.at("images"))
    settled(page)
    reached = []
    where = """() => {
      const part = document.activeElement.closest("#top, #legend, #rail, #inspector, .toolbar, .grid-view, .skip");
      return part?.id || part?.className || "elsewhere";
    }"""
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(where))
    order = list(dict.fromkeys(reached))
    assert order[:6] == ["skip", "top", "legend", "rail", "toolbar", "scroll-view grid-view"]
    assert "inspector" in order


def test_a_narrow_window_has_drawers(narrow, site):
    narrow.goto(site.at("images"))
    settled(narrow)
    assert narrow.evaluate("document.documentElement.scrollWidth") == 420
    expect(narrow.locator("#rail")).not_to_be_visible()
    narrow.get_by_role("button", name="Filters").click()
    expect(narrow.locator("#rail")).to_be_visible()
    expect(narrow.locator("#rail")).to_be_focused()
    narrow.keyboard.press("Escape")
    expect(narrow.locator("#rail")).not_to_be_visible()
    narrow.locator(TILE).first.click(position={"x": 60, "y": 60})
    expect(narrow.locator("#inspector")).to_be_visible()
    narrow.locator("#inspector").get_by_role("link", name="Open").click()
    narrow.wait_for_selector(".panes[data-ready]")
    assert narrow.evaluate("document.documentElement.scrollWidth") == 420


def test_dark_and_light(chromium, site):
    grounds = []
    for scheme in ("light", "dark"):
        for page in watched(chromium, site, width=900, height=700, color_scheme=scheme):
            page.goto(site.at("images"))
            settled(page)
            grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_an_image_that_cannot_be_shown_says_why(page, site):
    """The server's answer, with the first image taken out of it."""

    def without_first(route):
        response = route.fetch()
        body = response.body()
        size = int.from_bytes(body[:4], "little")
        header = json.loads(body[4 : 4 + size])
        header[0] |= {"image": None, "mask": None, "prediction": None, "error": "The file is cut off. Fetch it again."}
        text = json.dumps(header).encode()
        route.fulfill(response=response, body=len(text).to_bytes(4, "little") + text + body[4 + size :])

    page.route("**/api/thumbs?**", without_first)
    page.goto(site.at("images"))
    settled(page)
    expect(page.locator(".thumb[data-state=error] .why").first).to_have_text("The file is cut off. Fetch it again.")


def test_a_server_that_is_gone_is_told(page, site):
    page.expected.append("ERR_FAILED")
    page.goto(site.at("images"))
    settled(page)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("button", name="Worst first").click()
    expect(page.locator(".view-room .error-box")).to_contain_text("Is `sightline ui` still running?")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()
    painted(page)
    assert len(names(page)) == 18


def test_the_first_page_without_a_dataset_says_what_to_type(chromium, tmp_path, site):
    with serving(tmp_path / "store") as url:
        for page in watched(chromium, type(site)(url, None, None, None), width=1000, height=700):
            page.goto(f"{url}/?page=images")
            expect(page.locator(".empty code").first).to_have_text("sightline ingest --data DIR")


def test_the_scripts_are_small(page, site):
    sizes = {}

    def keep(response):
        if "/static/js/" in response.url:
            sizes[response.url] = response.body()

    page.on("response", keep)
    page.goto(site.at("images"))
    settled(page)
    assert sum(len(gzip.compress(body, 9)) for body in sizes.values()) < 60_000
    own = [path.read_bytes() for path in sorted((Path(sightline.__file__).parent / "viewer" / "static").rglob("*.js"))]
    assert len(own) > 20 and len(gzip.compress(b"".join(own), 9)) < 60_000
