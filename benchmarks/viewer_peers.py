"""What the viewer is measured beside: trackio's own page of tables, and FiftyOne where another Python has it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT, RUN = "bench", "tables"
SERVE = """
import sys
from pathlib import Path
from sightline.tracking import dashboard
from sightline.tracking.library import pointed_at
with dashboard.listen("127.0.0.1", int(sys.argv[2])) as listener, pointed_at(Path(sys.argv[1])):
    dashboard.run(dashboard.app("127.0.0.1"), listener)
"""
FIFTYONE = """
import json, sys, time
import fiftyone as fo
from fiftyone import ViewField as F

table = json.load(open(sys.argv[1]))
turns = int(sys.argv[2])
dataset = fo.Dataset()
began = time.perf_counter()
samples = [fo.Sample(filepath="/none/" + row["File_Name"], **{k: v for k, v in row.items() if k != "File_Name"})
           for row in table]
dataset.add_samples(samples, progress=False)
filling = time.perf_counter() - began
spent = []
for turn in range(turns):
    low = 10 + turn
    for view in (dataset.sort_by("miou"), dataset.match(F("Brightness") > low).sort_by("miou"),
                 dataset.match((F("road_share") > low / 300) & (F("Brightness") < 200)).sort_by("miou"),
                 dataset.match(F("Split") == "valid").sort_by("miou")):
        began = time.perf_counter()
        count = view.count()
        rows = [sample.to_dict() for sample in view[:200]]
        spent.append(time.perf_counter() - began)
        assert len(rows) == min(200, count)
dataset.delete()
print(json.dumps({"version": fo.__version__, "filling": filling, "spent": spent}))
"""


def plain_rows(table: Any) -> list[dict[str, Any]]:
    """The columns that a peer gets: names, and numbers to filter and sort by."""
    wanted = [name for name in ("File_Name", "Group", "Split", "Brightness", "miou", "road_share", "person_share")
              if name in table.column_names]  # fmt: skip
    rows: list[dict[str, Any]] = table.select(wanted).to_pylist()
    return rows


@contextmanager
def trackio_table(rows: list[dict[str, Any]], folder: Path) -> Iterator[int]:
    """trackio's dashboard, with the rows logged as a `trackio.Table`; its port once it answers."""
    from trackio.table import Table

    from sightline.tracking.library import pointed_at

    folder.mkdir(parents=True)
    with pointed_at(folder) as storage:
        value = Table(data=[list(row.values()) for row in rows], columns=list(rows[0]))
        storage.bulk_log(PROJECT, RUN, [{"images": value._to_dict(PROJECT, RUN)}], steps=[0], run_id=RUN)
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        answered(port, "/", process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def trackio_rows(port: int) -> int:
    """What its page of tables asks for, before it shows a row: every row. How many came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = json.dumps({"project": PROJECT, "run": RUN, "run_id": RUN})
    connection.request("POST", "/api/get_logs", body, {"Content-Type": "application/json"})
    found = json.loads(connection.getresponse().read())
    connection.close()
    return len(found["data"][0]["images"]["_value"])


def fiftyone(python: str, rows: list[dict[str, Any]], turns: int) -> dict[str, Any]:
    """Seconds that FiftyOne's own views take to count and give 200 samples, without its server and page.

    Raises:
        RuntimeError: it could not be run; says why.
    """
    with tempfile.TemporaryDirectory(prefix="sightline-fiftyone-") as folder:
        table = Path(folder) / "rows.json"
        table.write_text(json.dumps(rows))
        env = {**os.environ, "FIFTYONE_DATABASE_DIR": f"{folder}/db", "FIFTYONE_DO_NOT_TRACK": "1", "HOME": folder}
        done = subprocess.run([python, "-c", FIFTYONE, str(table), str(turns)], env=env, capture_output=True, text=True,
                              timeout=1200, check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it ended without a word")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def free_port() -> int:
    import socket

    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def answered(port: int, path: str, process: subprocess.Popen[Any], patience: float = 60.0) -> None:
    """Wait until a server answers with 200."""
    end = time.perf_counter() + patience
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status == 200:
                return
        except OSError:
            pass
        if process.poll() is not None or time.perf_counter() > end:
            raise RuntimeError("the server does not answer")
        time.sleep(0.01)
