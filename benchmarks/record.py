"""Results that took long to get: kept as JSON with the machine, the commit and the versions they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WORK = HERE / ".work"
"""Stores and data of benchmarks that are gone on with; git ignores it."""


def machine() -> str:
    """The processor and how many of its cores this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores"


def circumstances() -> dict[str, str]:
    """What a number is worth nothing without."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "fastai", "segmentation-models-pytorch"))
    return {
        "machine": machine(),
        "commit": commit or "unknown",
        "versions": f"Python {platform.python_version()}, {versions}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def known(file: str) -> dict[str, dict[str, Any]]:
    """The results of `RESULTS/file`, by key; none where there is no such file."""
    path = RESULTS / file
    results: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return results


def kept(file: str, key: str, measure: Callable[[], dict[str, Any]], *, again: bool = False) -> dict[str, Any]:
    """The result `key` of `RESULTS/file`, measured and written down when it is not there yet, or `again` is set."""
    path, results = RESULTS / file, known(file)
    if again or key not in results:
        found = {**measure(), **circumstances()}
        results = {**known(file), key: found}  # another may have written meanwhile
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".tmp").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        path.with_suffix(".tmp").replace(path)
    return results[key]
