"""The process pool: order, errors, and that no process stays behind, however its parent goes."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from processes import alive, wait_until

from sightline.errors import DataError, SightlineError
from sightline.pool import AHEAD, WORTH_IT, spread
from sightline.problems import PairError, Problem, ProblemKind

MANY = range(WORTH_IT + 6)


def squared(number):
    time.sleep(0.002 * (number % 3))  # later ones overtake earlier ones
    return number * number


def pid_of(_item):
    time.sleep(0.01)
    return os.getpid()


def failing(error, number):
    if number == 5:
        raise error
    return number


def killed(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def noted(folder, number):
    (folder / str(number)).touch()
    return number


@pytest.mark.parametrize("workers", [0, 1, 2, None])
@pytest.mark.parametrize("count", [0, 1, WORTH_IT - 1, WORTH_IT, WORTH_IT * 2])
def test_results_come_in_the_order_of_the_items(workers, count):
    if workers is None and count > WORTH_IT:
        pytest.skip("as with 2 workers, or more processes than this test is worth")
    assert list(spread(squared, range(count), workers)) == [number * number for number in range(count)]


@pytest.mark.parametrize(("count", "workers"), [(WORTH_IT - 1, 2), (WORTH_IT, 1), (WORTH_IT, 0), (WORTH_IT, -1)])
def test_few_items_or_workers_need_no_process(count, workers):
    assert set(spread(pid_of, range(count), workers)) == {os.getpid()}


def test_many_items_go_to_other_processes():
    pids = set(spread(pid_of, range(60), 2))
    assert os.getpid() not in pids
    assert len(pids) == 2
    assert not any(map(alive, pids))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_as_many_processes_as_cores_that_may_be_used():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert set(spread(pid_of, MANY)) == {os.getpid()}
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        DataError("3 of 4 are wrong"),
        PairError(Problem(ProblemKind.EMPTY, "a.jpg", "has 0 bytes")),
        OSError(errno.ENOSPC, "No space left on device", "a.png"),
        ValueError("what"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_function_raises_is_raised_here(workers, error):
    results = spread(partial(failing, error), MANY, workers)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(type(error)) as caught:
        next(results)
    assert (str(caught.value), caught.value.args) == (str(error), error.args)
    assert getattr(caught.value, "errno", None) == getattr(error, "errno", None)
    with pytest.raises(StopIteration):
        next(results)


def test_a_worker_that_is_killed_is_told():
    with pytest.raises(SightlineError, match=r"worker process ended early: killed, .*--workers 1.*__main__") as caught:
        list(spread(killed, MANY, 2))
    assert caught.value.exit_code == 1


def test_results_are_not_piled_up(tmp_path):
    """Who takes one result has not had all the others made meanwhile."""
    results = spread(partial(noted, tmp_path), range(200), 2)
    next(results)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 2 * AHEAD + 1
    results.close()
    assert len(list(tmp_path.iterdir())) < 200


def test_who_stops_early_leaves_no_process():
    before = threading.active_count()
    results = spread(pid_of, range(200), 2)
    pids = {next(results) for _ in range(8)}
    results.close()
    assert pids
    assert not any(map(alive, pids))
    assert threading.active_count() == before


# whole processes

SCRIPT = """
import os, resource, sys, time
from pathlib import Path
from sightline.pool import spread

def slowly(folder, number):
    (folder / str(os.getpid())).touch()
    time.sleep(0.05)
    return number

if __name__ == "__main__":
    from functools import partial
    if sys.argv[2:] == ["few-files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))
    for number in spread(partial(slowly, Path(sys.argv[1])), range(2000), 2):
        if number == 0:
            print("going", flush=True)
"""
UNGUARDED = """
from sightline.errors import SightlineError
from sightline.pool import spread
try:
    print(list(spread(abs, range(100), 2)))
except SightlineError as error:
    print("told:", error)
"""


class Script:
    """A script in a process group of its own, whose workers leave their pids in a folder."""

    def __init__(self, tmp_path, text, *arguments):
        self.pids = tmp_path / "pids"
        self.pids.mkdir()
        path = tmp_path / "script.py"
        path.write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, str(path), str(self.pids), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def workers(self):
        return {int(path.name) for path in self.pids.iterdir()}

    def end(self):
        """(exit status, stdout, stderr), within seconds."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def script(tmp_path):
    started = []

    def start(text, *arguments):
        started.append(Script(tmp_path, text, *arguments))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()
        one.process.stdout.close()
        one.process.stderr.close()


def going(one):
    """Wait until both workers are at work."""
    assert one.process.stdout.readline() == "going\n"
    wait_until(lambda: len(one.workers()) == 2)
    assert all(map(alive, one.workers()))
    return one.workers()


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_is_killed_leaves_no_worker(script, with_signal):
    one = script(SCRIPT)
    workers = going(one)
    one.process.send_signal(with_signal)
    one.process.wait(timeout=10)
    wait_until(lambda: not any(map(alive, workers)))
    assert one.workers() == workers


def test_ctrl_c_ends_all_at_once_and_only_the_parent_speaks(script):
    one = script(SCRIPT)
    workers = going(one)
    began = time.monotonic()
    os.killpg(one.process.pid, signal.SIGINT)
    status, _, err = one.end()
    assert time.monotonic() - began < 10, "2000 items would take 50 seconds"
    assert status == -signal.SIGINT
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "Process" not in err
    assert "leaked" not in err
    assert not any(map(alive, workers))


@pytest.mark.parametrize("after", [0.0, 0.15, 0.4])
def test_ctrl_c_while_workers_start_is_the_parents_alone(script, after):
    one = script(SCRIPT)
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
    if not children.is_file():
        pytest.skip("this system does not list a process's children")
    wait_until(lambda: len(children.read_text().split()) >= 2, 30)  # the resource tracker and the first worker
    time.sleep(after)
    os.killpg(one.process.pid, signal.SIGINT)
    status, _, err = one.end()
    assert status == -signal.SIGINT
    assert err.count("Traceback") == 1
    assert not any(map(alive, one.workers()))


def test_a_system_without_room_for_processes_is_told(script):
    status, _, err = script(SCRIPT, "few-files").end()
    assert status == 1
    assert "SightlineError: No worker process can be started: [Errno 24] Too many open files. Try --workers 1." in err


def test_a_script_without_main_guard_is_told_how(script):
    status, out, _ = script(UNGUARDED).end()
    assert status == 0
    assert "told: A worker process ended early" in out
    assert "`if __name__ == '__main__':`" in out
