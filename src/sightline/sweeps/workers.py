"""Several processes on one study, each with its share of the processor, and of the GPUs where there are several.

Each is a process of its own, started with this module, which reads what to do from its standard input. That stays open
as long as the first process lives: at its end the others end too, as by Ctrl-C, whatever became of the first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from sightline.config import Config, parse_config, to_dict
from sightline.console import console, say
from sightline.errors import SightlineError
from sightline.pool import cores

Job = Mapping[str, Any]


def run_workers(config: Config, file: Path, trials: int, split: str, count: int) -> None:
    """Let several processes work on the study of a sweep file, until all trials are ended.

    Args:
        config: the settings that are not varied.
        file: the sweep file.
        trials: how many.
        split: the split artifact, as `name:vN`.
        count: of processes.

    Raises:
        SightlineError: one of them failed; its message was told.
        KeyboardInterrupt: they were interrupted.
    """
    threads = max(1, cores() // count)
    job = {"config": to_dict(config), "file": str(file.resolve()), "trials": trials, "split": split, "threads": threads}
    job |= {"quiet": console().quiet}
    say(f"sweep: {count} processes with {threads} thread{'' if threads == 1 else 's'} each")
    with ExitStack() as stack:
        started = [stack.enter_context(_start(job, number, threads)) for number in range(count)]
        for number, process in enumerate(started, 1):
            voice = threading.Thread(target=_tell, args=(process, number))
            voice.start()
            stack.callback(voice.join)
        try:
            codes = [process.wait() for process in started]
        except BaseException:
            _end(started)
            raise
    _judge(codes)


def _start(job: Job, number: int, threads: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1", **_gpu(number)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sightline.sweeps.workers"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is told to them once, by `_end`
        text=True,
        encoding="utf-8",
        env=environment,
    )
    assert process.stdin
    with suppress(BrokenPipeError):  # it failed at once; its exit code tells
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    return process


def _gpu(number: int) -> dict[str, str]:
    """One GPU for each process, in turn, where there are several."""
    import torch

    if torch.cuda.device_count() < 2:
        return {}
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = given if given != [""] else [str(place) for place in range(torch.cuda.device_count())]
    return {"CUDA_VISIBLE_DEVICES": names[number % len(names)]}


def _tell(process: subprocess.Popen[str], number: int) -> None:
    """What a process says, line by line, with its number before it."""
    assert process.stderr
    for line in process.stderr:
        say(f"[{number}] {line.rstrip()}")


def _end(started: list[subprocess.Popen[str]]) -> None:
    """Interrupt the processes, which is what the end of their input does, and wait for them to close their runs."""
    for process in started:
        assert process.stdin
        process.stdin.close()
    for process in started:
        process.wait()


def _judge(codes: list[int]) -> None:
    """Raise what a process failed with. One that was killed did no harm: the others took its trial up, or this one."""
    for number, code in enumerate(codes, 1):
        if code < 0:
            say(f"[{number}] was killed by signal {-code}, for want of memory perhaps; the others go on")
    if 130 in codes:
        raise KeyboardInterrupt
    if failed := [code for code in codes if code > 0]:
        error = SightlineError(
            f"{len(failed)} of {len(codes)} processes of the sweep failed, as told above. The same command goes on."
        )
        error.exit_code = failed[0]
        raise error


def main() -> None:
    """A worker: reads its job, works on trials, ends with the exit code of what it raised."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started all this deaf to it
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow, daemon=True).start()
    console().quiet = job["quiet"]
    try:
        _work(job)
    except SightlineError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _follow() -> None:
    """Interrupt this process when the one that started it closes the pipe, or is gone."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGINT)


def _work(job: Job) -> None:
    import torch

    from sightline.sweeps.plan import read_plan
    from sightline.sweeps.study import storing
    from sightline.sweeps.trials import run_trials, study_of
    from sightline.tracking import open_tracker

    torch.set_num_threads(job["threads"])
    config = parse_config(job["config"])
    tracker = open_tracker(config)
    split = tracker.get(job["split"])
    plan = read_plan(Path(job["file"]), config, job["trials"])
    study = study_of(plan, config, tracker, split)
    with storing(study.path):
        run_trials(config, study, tracker, split)


if __name__ == "__main__":
    main()
