"""Which of several processes this one is, and what they tell each other. torch is imported where there are several.

`torchrun` and `accelerate launch` start the same command several times and number the processes in the environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, TypeVar

from sightline.config import Train
from sightline.console import console, say
from sightline.errors import ConfigError, TrainingError

T = TypeVar("T")
PATIENCE = timedelta(days=1)
"""How long one process waits for another: the first may have many images to decode while the others wait."""
GRACE = 30.0
"""Seconds that a process which failed early leaves the first one to tell why."""


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Args:
        rank: its number, from 0.
        size: how many there are.
        local: its number on its machine, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that decides, writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.size > 1


def world() -> World:
    """This process among those that a launcher started; alone where none did."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return World(*(int(os.environ[name]) for name in names)) if all(name in os.environ for name in names) else World()


def alone(what: str) -> None:
    """ConfigError where several processes were started for what one does."""
    if world().several:
        raise ConfigError(
            f"{what} is work for one process, but {world().size} were started. Leave out torchrun or accelerate; they "
            "are for `sightline train`."
        )


@contextlib.contextmanager
def together(settings: Train) -> Iterator[None]:
    """For the length of the block the processes can talk to each other: gloo between CPUs, nccl between GPUs.

    A process whose peers are gone, or that is told to end, is interrupted as by Ctrl-C. Alone it does nothing.

    Raises:
        ConfigError: a batch size that cannot be shared evenly.
        TrainingError: `accelerate` is not installed, or there are fewer GPUs than processes.
    """
    here = world()
    if not here.several:
        yield
        return
    console().quiet |= not here.first
    _check(settings, here)
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl" if _takes_gpu(settings, here) else "gloo", timeout=PATIENCE)
    with _ended_as_interrupted(), lost_peers():
        yield
    dist.destroy_process_group()  # not after a failure: the others may be waiting, and `speaks` needs it


def _check(settings: Train, here: World) -> None:
    if find_spec("accelerate") is None:
        raise TrainingError(
            "Training in several processes needs the package accelerate: pip install 'sightline[distributed]'."
        )
    if settings.batch_size % here.size:
        raise ConfigError(
            f"--batch-size {settings.batch_size} cannot be shared evenly by {here.size} processes. It counts the "
            f"images of all processes together: give a multiple of {here.size}."
        )


def _takes_gpu(settings: Train, here: World) -> bool:
    """Whether this process computes on a GPU, which becomes its current one."""
    import torch

    if settings.device == "mps":
        raise TrainingError("--device mps is for one process. Several compute on cuda or on cpu.")
    if settings.device == "cpu" or not torch.cuda.is_available():
        return False
    if here.local >= torch.cuda.device_count():
        raise TrainingError(
            f"There are more processes on this machine than GPUs ({torch.cuda.device_count()}). Start as many as there "
            "are GPUs, or give --device cpu."
        )
    torch.cuda.set_device(here.local)
    return True


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM, which the launcher sends when another process failed, as Ctrl-C: so that the run is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def lost_peers() -> Iterator[None]:
    """Turns the error of a connection whose other end is gone into an interrupt; what happened that other end says.

    What the connection says is told all the same: where GPUs cannot reach each other, no end says more.
    """
    try:
        yield
    except RuntimeError as error:
        if world().several and _is_lost(error):
            say(f"The processes are no longer connected: {str(error).strip().splitlines()[0][:200]}")
            raise KeyboardInterrupt from error
        raise


def _is_lost(error: RuntimeError) -> bool:
    import torch.distributed as dist

    return isinstance(error, dist.DistError) or any(name in str(error).lower() for name in ("gloo", "nccl"))


def from_first(value: T) -> T:
    """What the first process has here, on every process; the others wait for it. Alone: the value."""
    if not world().several:
        return value
    import torch
    import torch.distributed as dist

    box: list[Any] = [value]
    with lost_peers():
        dist.broadcast_object_list(box, device=torch.device("cpu"))
    told: T = box[0]
    return told


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """The first process does the block before the others begin it, so that they find what it made."""
    if not world().first:
        from_first(None)
    yield
    if world().first:
        from_first(None)


def speaks() -> bool:
    """Whether it falls to this process to tell of its failure: to the one that fails first, so that it is told once.

    While the processes do not know each other yet, what is wrong is wrong for all, and the first one tells it.
    """
    if not world().several:
        return True
    if _are_connected():
        import torch.distributed as dist

        with contextlib.suppress(RuntimeError):  # the launcher that counts is gone
            failed: int = dist.distributed_c10d._get_default_store().add("sightline/failed", 1)
            return failed == 1
    return world().first


def leave_first_to_tell() -> None:
    """Holds a process after the first that failed before they know each other, until the launcher ends it.

    A launcher ends all as soon as one of them fails, and the first, which tells what is wrong, may be slower.
    """
    if not _are_connected():
        time.sleep(GRACE)


def _are_connected() -> bool:
    if "torch" not in sys.modules:
        return False
    import torch.distributed as dist

    return dist.is_initialized()
