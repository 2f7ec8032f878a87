"""A pass over many files in several processes: results in order, and no process left behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from sightline.errors import SightlineError

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH_IT = 24
"""Items from which on it pays to start processes."""

AHEAD = 8
"""Items handed out per process ahead of the result that is waited for: what bounds the memory of finished results."""


def spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None) -> Iterator[Result]:
    """The function's results, in the order of the items.

    Args:
        function: picklable; what it raises is raised here.
        items: picklable.
        workers: processes; as many as this process may use cores when None. 0, 1 or few items: no process but this one.

    Raises:
        SightlineError: the processes could not start, or one of them was killed.
    """
    count = min(cores() if workers is None else workers, len(items))
    if count <= 1 or len(items) < WORTH_IT:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # the same on every system, and safe beside threads
    with _starting():
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_go_with_the_parent)
    try:
        yield from _in_order(pool, function, items, count * AHEAD)
    except BrokenProcessPool as error:
        raise SightlineError(
            "A worker process ended early: killed, for want of memory perhaps (try --workers 1), or called from a "
            "script without `if __name__ == '__main__':`."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Sequence[Item], ahead: int
) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    for item in items:
        with _starting():
            waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Round what may start a process. The process never hears of Ctrl-C, which is the parent's to answer."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    except OSError as error:
        raise SightlineError(f"No worker process can be started: {error}. Try --workers 1.") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _go_with_the_parent() -> None:
    """End this worker when its parent is gone, however it went: a pool's workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: multiprocessing.process.BaseProcess) -> None:
    with contextlib.suppress(Exception):
        parent.join()
    os._exit(1)
