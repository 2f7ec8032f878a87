"""trackio's dashboard on a store: served for real, in a process of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from starlette.testclient import TestClient

from sightline.config import Config
from sightline.errors import ConfigError
from sightline.tracking import dashboard, open_tracker
from sightline.tracking.dashboard import listen
from sightline.viewer.serve import _dashboard

SCRIPT = """
import sys
from pathlib import Path

def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "webbrowser.open"):
        print("reached out:", event, args, file=sys.stderr, flush=True)

sys.addaudithook(watch)
from sightline.tracking.dashboard import app, listen, run
from sightline.tracking.library import pointed_at

with listen("127.0.0.1", int(sys.argv[2])) as listener, pointed_at(Path(sys.argv[1])):
    dashboard = app("127.0.0.1")
    print("port", listener.getsockname()[1], file=sys.stderr, flush=True)
    try:
        run(dashboard, listener)
    except KeyboardInterrupt:
        pass
print("ended well", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard") / "store"
    tracker = open_tracker(Config(store=str(folder), project="roads"))
    with tracker.run("training", config={"lr": 0.125}) as run:
        run.log({"loss": 0.75, "absent": float("nan")}, step=1)
        (run.scratch / "a").write_text("weights")
        run.save("cam_model", "model", {"weights.bin": run.scratch / "a"})
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def start(store, home, port=0, **more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(store / "trackio"), str(port)],
        env={**kept, "HOME": str(home), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    found = re.fullmatch(r"port (\d+)\n", line)
    assert found, line + process.stderr.read()
    return process, f"http://127.0.0.1:{found[1]}/", int(found[1])


def stop(process, with_signal=signal.SIGINT):
    process.send_signal(with_signal)
    return process.communicate(timeout=30)


@pytest.fixture(scope="module")
def served(store, home):
    process, url, port = start(store, home, GRADIO_SHARE="true", TRACKIO_BUCKET_ID="someone/bucket")
    yield url, port
    output, errors = stop(process)
    assert (process.returncode, output, errors) == (0, "", "ended well\n"), "no traceback, nothing reached out"
    assert list(home.rglob("*")) == []


def fetch(url, data=None, **headers):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return answer.read().decode()


def ask(url, name, /, **arguments):
    return json.loads(fetch(f"{url}api/{name}", arguments))["data"]


def test_the_page_and_its_scripts_come_from_here(served):
    url, _ = served
    page = fetch(url)
    assert "<title>Trackio Dashboard</title>" in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(sources) == 3
    assert all(source.startswith("/") for source in sources)
    script = next(source for source in sources if source.endswith(".js"))
    assert len(fetch(url + script.lstrip("/"))) > 10_000


def test_it_shows_this_project_with_its_runs(served):
    url, _ = served
    assert ask(url, "get_all_projects") == ["roads"]
    (run,) = ask(url, "get_runs_for_project", project="roads")
    assert run["name"] == "training-1"
    logs = ask(url, "get_logs", project="roads", run=run["name"], run_id=run["id"])
    assert [row["loss"] for row in logs if "loss" in row] == [0.75]
    (artifact,) = ask(url, "list_artifacts", project="roads")
    assert (artifact["name"], artifact["versions"][0]["aliases"]) == ("cam_model", ["latest"])


def test_it_finds_the_files_of_artifacts(served, store):
    url, _ = served
    (entry,) = ask(url, "get_artifact_manifest", project="roads", name="cam_model", spec="latest")["manifest"]
    assert entry["path"] == "weights.bin"
    assert fetch(f"{url}artifact_blob/roads/{entry['digest']}") == "weights"
    assert ask(url, "get_settings")["media_dir"] == str(store / "trackio" / "media")


def test_it_can_only_be_looked_at(served):
    url, _ = served
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(url, "delete_run", project="roads", run="training-1")
    with caught.value as answer:
        assert "write_token" in answer.read().decode()
    assert len(ask(url, "get_runs_for_project", project="roads")) == 1


def test_no_page_from_elsewhere_reads_it_under_another_name(served):
    url, port = served
    assert fetch(f"http://localhost:{port}/version")
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url, Host="evil.example")
    with caught.value as answer:
        assert answer.code == 400


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 up")
def test_it_listens_at_one_address_only(served):
    _, port = served
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5).close()


def test_a_port_in_use(served):
    _, port = served
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1, port {port}: Address already in use.*another --port"):
        listen("127.0.0.1", port)


def test_a_host_that_is_not_here():
    with pytest.raises(ConfigError, match=r"Cannot listen at 203\.0\.113\.1"):
        listen("203.0.113.1", None)


def test_without_a_port_it_takes_the_usual_one_or_any(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(dashboard, "PORT", port)
        with listen("127.0.0.1", None) as other:
            assert other.getsockname()[1] not in (0, port)
    with listen("127.0.0.1", None) as usual:
        assert usual.getsockname()[1] == port


def test_an_open_page_does_not_keep_it_from_ending(store, home):
    process, _, port = start(store, home)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as browser:
        browser.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in browser.recv(4096)
        _, errors = stop(process)
    assert (process.returncode, errors) == (0, "ended well\n")


def test_a_second_ctrl_c_does_not_wait_for_an_open_request(store, home):
    process, _, port = start(store, home)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as browser:
        browser.sendall(b"POST /api/get_all_projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it waits for the request"
        _, errors = stop(process)
    assert (process.returncode, errors) == (0, "ended well\n")


def test_nothing_to_show(tmp_path):
    answer = TestClient(_dashboard(tmp_path, "roads", "127.0.0.1")).get("/")
    assert answer.status_code == 404 and "no runs of the project roads yet" in answer.text
