"""The README's commands are run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    """The lines of the fenced blocks marked `sh`, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_commands_can_be_typed_one_after_another(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    small = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    lines = commands()
    assert {line.split()[1] for line in lines} >= {
        "sample", "run", "ingest", "split", "train", "evaluate", "report", "show", "runs", "artifacts",
    }  # fmt: skip
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=small, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / ".sightline" / "reports" / "scenes_report.html").is_file()


def test_the_first_screen_says_how_to_begin():
    first = "\n".join(README.splitlines()[:12])
    assert "make demo" in first and "make test" in first


def test_the_file_tree_is_the_one_that_is_there():
    tree = re.search(r"^```text\nsrc/sightline/\n(.*?)^tests/", README, re.MULTILINE | re.DOTALL)[1]
    folder = ROOT / "src" / "sightline"
    there = {path.name for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    named = set(re.findall(r"\b(\w+\.py|\w+(?=/))", tree))
    assert there - named == set()
    assert {name for name in named if name.endswith(".py")} <= {path.name for path in folder.rglob("*.py")}


@pytest.mark.slow
def test_the_demo_does_the_whole_job(tmp_path):
    """In a copy of what git keeps, with an environment of its own: installs gigabytes, trains for minutes."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(["make", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=2400, check=False)
    assert done.returncode == 0, done.stderr
    assert "mIoU" in done.stdout
    assert (tmp_path / "demo" / ".sightline" / "reports" / "road-scenes_report.html").stat().st_size > 1e6
