"""Named datasets, fetched from a real server on this machine that cuts, forgets, changes and refuses."""

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from sightline.download import _check_redirects
from sightline.errors import SourceError
from sightline.layouts import PRESETS
from sightline.sources import SOURCES, Patience, Source, fetch, find_source

QUICK = Patience(timeout=5, pauses=(0.0, 0.0))
ONCE = Patience(timeout=5, pauses=())


def zip_of(top="", **extra):
    """A small dataset, of stored entries so that its length is that of its bytes."""
    noise = hashlib.shake_128(b"noise").digest(200_000)
    files = {"images/a-1.jpg": noise, "labels/a-1_mask.png": b"mask", "LICENSE.txt": b"Be nice."}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in files.items():
            opened.writestr(top + name, data)
        for name, data in extra.items():
            opened.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


CONTENT = zip_of()
SIZE = len(CONTENT)


@dataclass
class Request:
    path: str
    range: str | None
    if_range: str | None
    sent: int = 0


@dataclass
class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    date: str | None = None
    ranges: bool = True
    length: bool = True
    honest: bool = True  # looks at If-Range
    cuts: list[int] = field(default_factory=list)  # bytes sent before the connection closes, answer by answer
    statuses: list[int] = field(default_factory=list)
    gate: threading.Event | None = None  # at a cut: stay silent until set, rather than close
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def source(self, **changes):
        limits = {"size": None, "sha256": None, "max_unpacked": 1 << 24}
        return Source("tiny", f"{self.url}/tiny.zip", "bdd-simple", licence="Be nice.", **limits | changes)

    def sent(self):
        return sum(request.sent for request in self.requests)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format, *args):  # noqa: A002
        pass

    def do_GET(self):
        request = Request(self.path, self.headers["Range"], self.headers["If-Range"])
        self.site.requests.append(request)
        status = self.site.statuses.pop(0) if self.site.statuses else 200
        if self.path.startswith("/moved"):
            return self.head(302, {"Location": self.path.removeprefix("/moved")})
        if status != 200:
            return self.head(status, {"Content-Length": "0"})
        self.answer(request)

    def answer(self, request):
        site, start, status, headers = self.site, 0, 200, {}
        fits = request.if_range in (None, site.etag, site.date) or not site.honest
        if request.range and site.ranges and fits:
            start, status = int(request.range.removeprefix("bytes=").removesuffix("-")), 206
            headers["Content-Range"] = f"bytes {start}-{len(site.content) - 1}/{len(site.content)}"
        if start >= len(site.content):
            return self.head(416, {"Content-Range": f"bytes */{len(site.content)}", "Content-Length": "0"})
        body = site.content[start:]
        headers |= {"ETag": site.etag} if site.etag else {}
        headers |= {"Last-Modified": site.date} if site.date else {}
        self.head(status, headers | ({"Content-Length": str(len(body))} if site.length else {}))
        self.send(request, body)

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, request, body):
        cut = self.site.cuts.pop(0) if self.site.cuts else len(body)
        request.sent = min(cut, len(body))
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if cut < len(body) and self.site.gate:
            self.site.gate.wait(20)


@pytest.fixture
def site():
    site = Site()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site})) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


DATASET = [".complete.json", "LICENSE.txt", "images/a-1.jpg", "labels/a-1_mask.png"]


def assert_fetched(folder, cache):
    """The dataset is whole, and nothing else is left in the cache (the lock file aside)."""
    assert folder == cache / "tiny"
    assert listing(folder) == DATASET
    assert (folder / "images/a-1.jpg").read_bytes() == zipfile.ZipFile(io.BytesIO(CONTENT)).read("images/a-1.jpg")
    assert {path.name for path in cache.iterdir()} <= {"tiny", "tiny.lock"}


def test_a_dataset_is_fetched_with_progress(site, tmp_path):
    calls = []
    source = site.source(size=SIZE, sha256=hashlib.sha256(CONTENT).hexdigest())
    folder = fetch(source, tmp_path / "new/cache", lambda done, total: calls.append((done, total)))
    assert_fetched(folder, tmp_path / "new/cache")
    assert (folder / "LICENSE.txt").read_text() == "Be nice."
    manifest = json.loads((folder / ".complete.json").read_text())
    assert manifest == {"name": "tiny", "url": source.url, "size": SIZE, "sha256": source.sha256}
    assert calls[0] == (0, SIZE)
    assert calls[-1] == (SIZE, SIZE)
    assert len(calls) > 2
    assert calls == sorted(calls)


def test_the_second_call_asks_nobody(site, tmp_path):
    first = fetch(site.source(), tmp_path)
    assert len(site.requests) == 1
    calls = []
    assert fetch(site.source(), tmp_path, lambda *numbers: calls.append(numbers)) == first
    assert (len(site.requests), calls) == (1, [])


def test_an_interrupted_transfer_goes_on_by_itself(site, tmp_path):
    site.cuts = [50_000, 70_000]
    calls = []
    folder = fetch(site.source(), tmp_path, lambda done, total: calls.append((done, total)), QUICK)
    assert_fetched(folder, tmp_path)
    assert [request.range for request in site.requests] == [None, "bytes=50000-", "bytes=120000-"]
    assert [request.if_range for request in site.requests] == [None, '"one"', '"one"']
    assert site.sent() == SIZE
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {SIZE}


def test_an_interrupted_transfer_goes_on_with_the_next_call(site, tmp_path):
    site.cuts = [50_000]
    with pytest.raises(SourceError, match=rf"stopped after 50,000 of {SIZE:,} bytes .*same command goes on"):
        fetch(site.source(), tmp_path, patience=ONCE)
    assert (tmp_path / "tiny.zip.part").stat().st_size == 50_000
    calls = []
    folder = fetch(site.source(), tmp_path, lambda done, total: calls.append(done), ONCE)
    assert_fetched(folder, tmp_path)
    assert site.requests[1].range == "bytes=50000-"
    assert site.sent() == SIZE
    assert calls[0] == 50_000


def test_after_kill_9_it_goes_on(site, tmp_path):
    site.cuts, site.gate = [50_000], threading.Event()
    code = "import sys, pathlib; from sightline.sources import Source, fetch; "
    code += "fetch(Source('tiny', sys.argv[1], 'bdd-simple', None, None, 1 << 24, ''), pathlib.Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, site.source().url, str(tmp_path)])
    part = tmp_path / "tiny.zip.part"
    until = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size > 30_000) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    site.gate.set()
    arrived = part.stat().st_size
    assert 30_000 < arrived <= 50_000
    assert_fetched(fetch(site.source(), tmp_path, patience=ONCE), tmp_path)
    assert site.requests[1].range == f"bytes={arrived}-"


def test_a_download_that_was_complete_is_not_asked_for_again(site, tmp_path):
    site.cuts = [50_000]
    with pytest.raises(SourceError):
        fetch(site.source(), tmp_path, patience=ONCE)
    with (tmp_path / "tiny.zip.part").open("ab") as file:
        file.write(CONTENT[50_000:])
    assert_fetched(fetch(site.source(), tmp_path, patience=ONCE), tmp_path)
    assert len(site.requests) == 1


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_that_changed_on_the_server_is_fetched_from_its_beginning(site, tmp_path, honest):
    site.content, site.etag, site.cuts = bytes(SIZE), '"old"', [50_000]
    with pytest.raises(SourceError, match="stopped after"):
        fetch(site.source(), tmp_path, patience=ONCE)
    site.content, site.etag, site.honest = CONTENT, '"new"', honest
    assert_fetched(fetch(site.source(), tmp_path, patience=ONCE), tmp_path)
    assert site.requests[1].if_range == '"old"'
    assert [request.range for request in site.requests[2:]] == ([] if honest else [None])


def test_a_date_will_do_where_there_is_no_strong_etag(site, tmp_path):
    site.etag, site.date, site.cuts = 'W/"weak"', "Sat, 01 Jan 2022 00:00:00 GMT", [50_000]
    assert_fetched(fetch(site.source(), tmp_path, patience=QUICK), tmp_path)
    assert site.requests[1].if_range == site.date
    assert site.sent() == SIZE


def test_without_etag_and_date_it_begins_anew(site, tmp_path):
    site.etag, site.cuts = None, [50_000]
    with pytest.raises(SourceError, match=r"no ETag and no date, so the same command begins anew"):
        fetch(site.source(), tmp_path, patience=ONCE)
    assert_fetched(fetch(site.source(), tmp_path, patience=ONCE), tmp_path)
    assert [request.range for request in site.requests] == [None, None]


def test_without_etag_and_date_a_known_digest_lets_it_go_on(site, tmp_path):
    site.etag, site.cuts = None, [50_000]
    source = site.source(sha256=hashlib.sha256(CONTENT).hexdigest())
    assert_fetched(fetch(source, tmp_path, patience=QUICK), tmp_path)
    assert (site.requests[1].range, site.requests[1].if_range) == ("bytes=50000-", None)


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.ranges, site.cuts = False, [50_000]
    calls = []
    assert_fetched(fetch(site.source(), tmp_path, lambda done, total: calls.append(done), QUICK), tmp_path)
    assert site.requests[1].range == "bytes=50000-"
    assert site.sent() == 50_000 + SIZE
    assert calls.count(0) == 2


def test_a_server_that_does_not_say_how_long_the_file_is(site, tmp_path):
    site.length = False
    calls = []
    assert_fetched(fetch(site.source(), tmp_path, lambda *numbers: calls.append(numbers)), tmp_path)
    assert calls[-1] == (SIZE, None)


def test_a_cut_that_cannot_be_told_from_an_end_is_told_as_damage(site, tmp_path):
    site.length, site.cuts = False, [50_000]
    with pytest.raises(SourceError, match="no zip file"):
        fetch(site.source(), tmp_path, patience=ONCE)
    assert listing(tmp_path) == ["tiny.lock"]


def test_a_part_that_no_range_continues_is_dropped(site, tmp_path):
    site.cuts = [50_000]
    with pytest.raises(SourceError, match="stopped after"):
        fetch(site.source(), tmp_path, patience=ONCE)
    (tmp_path / "tiny.zip.part").write_bytes(bytes(SIZE + 1))
    assert_fetched(fetch(site.source(), tmp_path, patience=ONCE), tmp_path)
    assert [request.range for request in site.requests[1:]] == [f"bytes={SIZE + 1}-", None]


def test_a_damaged_note_means_from_the_beginning(site, tmp_path):
    (tmp_path / "tiny.zip.part").write_bytes(b"what is this")
    (tmp_path / "tiny.zip.part.json").write_text("{}")
    assert_fetched(fetch(site.source(), tmp_path), tmp_path)
    assert site.requests[0].range is None


def test_redirects_are_followed_and_ranges_go_with_them(site, tmp_path):
    site.cuts = [50_000]
    source = replace(site.source(), url=f"{site.url}/moved/moved/tiny.zip")
    assert_fetched(fetch(source, tmp_path, patience=QUICK), tmp_path)
    assert [request.path for request in site.requests] == ["/moved/moved/tiny.zip", "/moved/tiny.zip", "/tiny.zip"] * 2
    assert site.requests[-1].range == "bytes=50000-"


def test_endless_redirects_are_told(site, tmp_path):
    source = replace(site.source(), url=f"{site.url}{'/moved' * 30}/tiny.zip")
    with pytest.raises(SourceError, match="redirects"):
        fetch(source, tmp_path, patience=QUICK)


def test_a_redirect_from_https_to_http_is_refused():
    response = httpx.Response(200, request=httpx.Request("GET", "http://example.org/a.zip"))
    with pytest.raises(SourceError, match="not encrypted"):
        _check_redirects("https://example.org/a.zip", response)
    _check_redirects("http://example.org/a.zip", response)


def test_a_wrong_digest_is_told_and_the_file_removed(site, tmp_path):
    expected, got = "0" * 64, hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(SourceError, match=f"sha256 .* is wrong: expected {expected}, got {got}"):
        fetch(site.source(sha256=expected), tmp_path)
    assert listing(tmp_path) == ["tiny.lock"]
    assert_fetched(fetch(site.source(sha256=got), tmp_path), tmp_path)
    assert site.requests[1].range is None


def test_a_file_that_is_too_short_is_told_and_removed(site, tmp_path):
    with pytest.raises(SourceError, match=f"size .* is wrong: expected {SIZE + 1:,} bytes, got {SIZE:,} bytes"):
        fetch(site.source(size=SIZE + 1), tmp_path)
    assert listing(tmp_path) == ["tiny.lock"]


@pytest.mark.parametrize("length", [True, False])
def test_a_file_that_is_too_long_is_told_and_removed(site, tmp_path, length):
    site.length = length
    calls = []
    with pytest.raises(SourceError, match=rf"bytes or more, but at most {SIZE - 1:,} were expected"):
        fetch(site.source(size=SIZE - 1), tmp_path, lambda done, total: calls.append(done))
    assert bool(calls) is not length  # nothing is taken where the server announces too much
    assert listing(tmp_path) == ["tiny.lock"]


def test_a_file_of_unknown_size_may_not_be_longer_than_what_it_may_unpack_to(site, tmp_path):
    with pytest.raises(SourceError, match="at most 1,000 were expected"):
        fetch(site.source(max_unpacked=1000), tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Please log in</html>", "no zip file"),
        (zip_of(**{"..__evil": b"evil"}), "would leave its folder"),
        (zip_of(labels__CON=b"evil"), "device"),
        (zip_of("a/b/"), "no images/ and labels/"),
        (zip_of().replace(b"labels/", b"babels/"), "no images/ and labels/"),
    ],
)
def test_content_that_cannot_be_used_is_told_and_removed(site, tmp_path, content, reason):
    site.content = content
    with pytest.raises(SourceError, match=rf"What came from {site.url}/tiny.zip .*{reason}.*--data DIR"):
        fetch(site.source(), tmp_path / "cache")
    assert listing(tmp_path) == ["cache/tiny.lock"]
    site.content = CONTENT
    assert_fetched(fetch(site.source(), tmp_path / "cache"), tmp_path / "cache")


def test_content_that_unpacks_to_too_much_is_told_and_removed(site, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("images/a.jpg", bytes(30_000_000))
    site.content = buffer.getvalue()
    with pytest.raises(SourceError, match="holds more than it may"):
        fetch(site.source(), tmp_path)
    assert listing(tmp_path) == ["tiny.lock"]


def test_a_single_top_folder_is_what_is_returned(site, tmp_path):
    site.content = zip_of("BDD_1k/")
    folder = fetch(site.source(), tmp_path)
    assert folder == tmp_path / "tiny/BDD_1k"
    assert listing(folder) == DATASET[1:]
    assert fetch(site.source(), tmp_path) == folder
    assert len(site.requests) == 1


def test_a_licence_beside_the_top_folder_is_kept_with_the_data(site, tmp_path):
    site.content = zip_of("tiny/").replace(b"tiny/LICENSE.txt", b"tiny/LICENSE.old")
    with zipfile.ZipFile(buffer := io.BytesIO(site.content), "a") as opened:
        opened.writestr("LICENSE.txt", "Be nice.")
        opened.writestr("__MACOSX/tiny/images/._a-1.jpg", "")
    site.content = buffer.getvalue()
    folder = fetch(site.source(), tmp_path)
    assert folder == tmp_path / "tiny/tiny"
    assert (folder / "LICENSE.txt").read_text() == "Be nice."


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_told_at_once(site, tmp_path, status):
    site.statuses = [status]
    with pytest.raises(SourceError, match=rf"{site.url}/tiny.zip .*answered {status} .*--data DIR"):
        fetch(site.source(), tmp_path, patience=QUICK)
    assert len(site.requests) == 1


def test_a_busy_server_is_asked_again(site, tmp_path):
    site.statuses = [503, 429]
    assert_fetched(fetch(site.source(), tmp_path, patience=QUICK), tmp_path)
    site.statuses = [500, 502, 503]
    with pytest.raises(SourceError, match="in 3 tries: the server answered 503 Service Unavailable"):
        fetch(site.source(), tmp_path / "other", patience=QUICK)


def test_a_refusal_keeps_what_arrived(site, tmp_path):
    site.cuts, site.statuses = [50_000], [200, 403]
    with pytest.raises(SourceError, match="403"):
        fetch(site.source(), tmp_path, patience=QUICK)
    assert (tmp_path / "tiny.zip.part").stat().st_size == 50_000


def test_no_server_is_told(tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SourceError, match=rf"{url}/tiny.zip .*3 tries: no connection .*offline\. Or.*--data DIR"):
            fetch(Site(url=url).source(), tmp_path, patience=QUICK)


def test_a_silent_server_is_told(site, tmp_path):
    site.cuts, site.gate = [50_000], threading.Event()
    with pytest.raises(SourceError, match=rf"after 50,000 of {SIZE:,} bytes .*in time \(ReadTimeout\).*goes on"):
        fetch(site.source(), tmp_path, patience=Patience(timeout=0.3, pauses=()))
    site.gate.set()


def test_a_wrong_address_is_told(tmp_path):
    with pytest.raises(SourceError, match=r"ftp://127.0.0.1/tiny.zip cannot be fetched"):
        fetch(Site(url="ftp://127.0.0.1").source(), tmp_path, patience=QUICK)


def test_proxy_settings_that_do_not_fit_are_told(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "nonsense://127.0.0.1:1")
    with pytest.raises(SourceError, match="HTTPS_PROXY"):
        fetch(site.source(), tmp_path, patience=QUICK)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(site, tmp_path):
    (tmp_path / "tiny.zip.part").symlink_to("/dev/full")
    with pytest.raises(SourceError, match=f"The disk is full: no room for tiny in {tmp_path}"):
        fetch(site.source(), tmp_path, patience=QUICK)
    assert len(site.requests) == 1


def test_a_cache_that_cannot_be_written_is_told(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be kept in"):
        fetch(site.source(), tmp_path / "file/cache")


def test_two_at_once_download_once(site, tmp_path):
    site.cuts = [50_000]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(site.source(), tmp_path, patience=Patience(5, (0.3,)))))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "tiny"] * 3
    assert site.sent() == SIZE
    assert_fetched(found[0], tmp_path)


def test_what_a_killed_unpacking_left_is_cleared(site, tmp_path):
    (tmp_path / "tiny.unpacking/images").mkdir(parents=True)
    (tmp_path / "tiny.unpacking/images/half.jpg").write_bytes(b"half")
    assert_fetched(fetch(site.source(), tmp_path), tmp_path)


@pytest.mark.parametrize("manifest", [None, "{", "[]"])
def test_a_folder_of_someone_else_is_left_alone(site, tmp_path, manifest):
    (tmp_path / "tiny/images").mkdir(parents=True)
    (tmp_path / "tiny/images/mine.jpg").write_bytes(b"mine")
    if manifest:
        (tmp_path / "tiny/.complete.json").write_text(manifest)
    with pytest.raises(SourceError, match=r"is in the way.*--data"):
        fetch(site.source(), tmp_path)
    assert (tmp_path / "tiny/images/mine.jpg").read_bytes() == b"mine"
    assert site.requests == []


def test_a_source_that_changed_its_digest_is_fetched_again(site, tmp_path):
    site.content = zip_of(images__old=b"old")
    fetch(site.source(), tmp_path)
    site.content = CONTENT
    assert_fetched(fetch(site.source(sha256=hashlib.sha256(CONTENT).hexdigest()), tmp_path), tmp_path)


def test_an_exception_of_the_progress_bar_keeps_what_arrived(site, tmp_path):
    def interrupt(done, total):
        if done >= 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(site.source(), tmp_path, interrupt)
    arrived = (tmp_path / "tiny.zip.part").stat().st_size
    assert arrived >= 50_000
    assert_fetched(fetch(site.source(), tmp_path), tmp_path)
    assert site.requests[1].range == f"bytes={arrived}-"


def test_an_unknown_name_lists_those_there_are(tmp_path):
    with pytest.raises(SourceError, match=r"'bdd-simpel'.*bdd-simple-1k.*--data DIR"):
        fetch("bdd-simpel", tmp_path)
    assert find_source("bdd-simple-1k") is SOURCES["bdd-simple-1k"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(SourceError, match="cannot be called"):
        replace(SOURCES["bdd-simple-1k"], name=name)


def test_named_sources_name_presets_that_exist():
    assert {source.preset for source in SOURCES.values()} <= set(PRESETS)
    assert all(source.url.startswith("https://") for source in SOURCES.values())


def test_importing_it_is_light():
    code = (
        "import sys, sightline.sources; print([m for m in ('httpx', 'torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
