"""The viewer in a real browser: a walked store, its server in a process of its own, and pages that watch themselves."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pytest
from PIL import Image

HOSTILE = "<img src=x onerror=alert(1)>"
"""The stem of one image of the store: markup that must never be taken for markup."""

SETTINGS = {"pretrained": False, "image_size": [64, 96], "batch_size": 4, "folds": 3, "resamples": 100, "workers": 1,
            "stratify": [], "group": "^(?P<group>[^-]+)"}  # fmt: skip
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
START = 60.0


@dataclass(frozen=True)
class Site:
    """A running viewer: where it is, what its store was made with, and the evaluations A and B of the same images."""

    url: str
    config: object
    a: str
    b: str
    data: str = "scenes:v0"

    def at(self, page="overview", **parameters):
        """The address of a page of the viewer, with run A unless told."""
        state = {"page": page, "data": self.data, "a": self.a} | parameters
        return f"{self.url}/?{urlencode({key: value for key, value in state.items() if value is not None})}"


@pytest.fixture(scope="session")
def walked(tmp_path_factory):
    """(configuration, evaluation A, evaluation B): a store with two models of one dataset, each measured on the same
    images. One image has a hostile name, and one lies in another size."""
    import torch

    import sightline
    from sightline.config import load_config
    from sightline.sample import make_dataset

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("browser")
    data = make_dataset(folder / "scenes", drives=6, frames=3, size=(96, 160), workers=1)
    _rename_one(data)
    given = SETTINGS | {"data": str(data), "store": str(folder / "store")}
    config = load_config(None, given)
    sightline.ingest(config)
    sightline.split(config)
    specs = []
    for epochs in (1, 2):
        config = load_config(None, given | {"epochs": epochs})
        sightline.train(config)
        specs.append(sightline.evaluate(config).spec)
    sightline.report(config)
    return config, *specs


def _rename_one(data):
    image = sorted(data.glob("images/*.jpg"))[1]
    mask = data / "labels" / f"{image.stem}_mask.png"
    with Image.open(image) as picture:
        picture.resize((128, 96)).save(image)
    with Image.open(mask) as picture:
        picture.resize((128, 96), Image.Resampling.NEAREST).save(mask)
    image.rename(image.with_name(f"{HOSTILE}.jpg"))
    mask.rename(mask.with_name(f"{HOSTILE}_mask.png"))


@contextlib.contextmanager
def serving(store):
    """Run `sightline ui` on a store; yields its address."""
    port = _free_port()
    command = [sys.executable, "-m", "sightline", "ui", "--store", str(store), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _free_port():
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def _wait_for(url, process):
    end = time.monotonic() + START
    while True:
        try:
            with urllib.request.urlopen(f"{url}/api/catalog", timeout=5):
                return
        except OSError:
            assert process.poll() is None, f"the viewer ended: {process.stdout.read()}"
            assert time.monotonic() < end, "the viewer does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def site(walked, chromium):
    """The viewer on the walked store."""
    config, a, b = walked
    with serving(config.store) as url:
        yield Site(url, config, a, b)


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, or a skipped test that says what is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
    )
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("There is no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, site):
    """An empty page, 1440 by 900. The test fails on an error in its console or a request to another host; `expected`
    holds parts of messages that a test brings about on purpose."""
    yield from watched(chromium, site, width=1440, height=900)


@pytest.fixture
def narrow(chromium, site):
    """The same in a window of 420 by 900."""
    yield from watched(chromium, site, width=420, height=900)


ASKED = """
window.asked = {open: 0, last: performance.now()};
const plain = window.fetch;
window.fetch = async (...what) => {
  asked.open += 1;
  try { return await plain(...what); } finally { asked.open -= 1; asked.last = performance.now(); }
};
"""
"""What a page asks the server for, counted. Playwright's "networkidle" is of its loading, and true ever after."""


def watched(chromium, site, *, width, height, **more):
    """A page that keeps its own complaints; raises them at the end."""
    context = chromium.new_context(viewport={"width": width, "height": height}, **more)
    page = context.new_page()
    page.add_init_script(ASKED)
    page.set_default_timeout(15_000)
    page.complaints, page.expected = [], []
    watch(page, urlsplit(site.url).netloc)
    yield page
    context.close()
    assert [each for each in page.complaints if not any(part in each for part in page.expected)] == []


def watch(page, host):
    """Collect errors of the console and of scripts, and requests that leave this server."""

    def requested(request):
        parts = urlsplit(request.url)
        if parts.scheme not in {"blob", "data"} and parts.netloc != host:
            page.complaints.append(f"request to {request.url}")

    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: page.complaints.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.on("request", requested)


def settled(page):
    """Wait until the page is there and asks the server nothing more."""
    page.wait_for_selector("main > .page:not([aria-busy])")
    page.wait_for_timeout(50)  # what was just clicked begins to ask
    until = time.monotonic() + 15
    while page.evaluate("asked.open > 0 || performance.now() - asked.last < 100"):
        assert time.monotonic() < until, "the page still asks the server"
        page.wait_for_timeout(20)
