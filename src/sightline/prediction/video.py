"""The frames of a video, one after another, never all at once. PyAV reads them (the extra `sightline[video]`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.errors import ConfigError
from sightline.problems import PairError, Problem, ProblemKind

OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,matroska,avi,mpeg,mpegts"}
"""FFmpeg's: containers that hold the video themselves, no lists of other files or addresses."""


class Frame(NamedTuple):
    """A frame.

    Args:
        number: from 0.
        seconds: from the beginning, by the video's own clock.
        pixels: H×W×3 uint8, RGB.
    """

    number: int
    seconds: float
    pixels: NDArray[np.uint8]


def frames(path: Path, name: str, every: int = 1) -> Iterator[Frame]:
    """Every so many-th frame of a video, the first one among them.

    Args:
        path: the file, absolute.
        name: what problems call it.
        every: 1 gives all.

    Raises:
        PairError: the file is no video, or is damaged: at the damage, after the frames before it.
        ConfigError: PyAV is not installed.
    """
    av = _library(name)
    try:
        with av.open(str(path), options=OPTIONS) as container:
            yield from _decoded(container, name, every)
    except (av.FFmpegError, OSError) as error:
        raise PairError(Problem(ProblemKind.UNREADABLE, name, f"cannot be decoded: {error.strerror}")) from None


def length(path: Path, name: str) -> int | None:
    """The number of frames that the container tells, for the progress bar; None where it tells none."""
    av = _library(name)
    try:
        with av.open(str(path), options=OPTIONS) as container:
            return (container.streams.video[0].frames or None) if container.streams.video else None
    except (av.FFmpegError, OSError):
        return None


def _decoded(container: Any, name: str, every: int) -> Iterator[Frame]:
    if not container.streams.video:
        raise PairError(Problem(ProblemKind.UNREADABLE, name, "holds no pictures, only sound or text"))
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    for number, frame in enumerate(container.decode(stream)):
        if frame.rotation:
            detail = f"is stored turned by {abs(frame.rotation)} degrees; players turn it back"
            raise PairError(Problem(ProblemKind.ROTATED, name, detail))
        if number % every == 0:
            yield Frame(number, float(frame.time or 0), frame.to_ndarray(format="rgb24"))


def _library(name: str) -> Any:
    try:
        import av
    except ImportError:
        raise ConfigError(f"{name} is a video; reading it needs PyAV: pip install 'sightline[video]'.") from None
    return av
