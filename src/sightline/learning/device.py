"""Where training computes, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.amp import GradScaler, autocast

from sightline.errors import TrainingError
from sightline.learning.libraries import vision
from sightline.learning.ranks import world

ADVICE = {
    **dict.fromkeys(("out of memory", "can't allocate memory"), "Try a smaller --batch-size or --image-size."),
    "more than 1 value per channel": "Try a larger --batch-size or --image-size, or another --arch.",
    "utput size is too small": "Try a larger --image-size, or another --arch.",
}
"""What torch says, in errors of no class of their own -> what to do about it."""
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def device_of(wanted: str) -> str:
    """cpu, cuda or mps for what `--device` says; TrainingError where the one asked for is not there."""
    mps = torch.backends.mps.is_available() and not world().several  # nothing is sent between processes from there
    there = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    found = [name for name, has in there.items() if has]
    if wanted != "auto" and wanted not in found:
        raise TrainingError(f"--device {wanted} is not to be had here. There is: {', '.join(found)}.")
    return found[0] if wanted == "auto" else wanted


def precision_of(wanted: str, device: str) -> str:
    """bf16, fp16 or fp32 for what `--precision` says.

    `auto` takes bf16 where the processor computes with it, fp16 on GPUs that do not, fp32 otherwise: on CPUs without
    bf16 instructions the emulated ones are slower than fp32.

    Raises:
        TrainingError: fp16 on a CPU, which has too few of its operations.
    """
    if wanted == "fp16" and device == "cpu":
        raise TrainingError("--precision fp16 is for GPUs. A CPU computes in bf16 or fp32; `auto` finds out which.")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """Whether this CPU has instructions for bf16: AVX-512 BF16 or AMX on x86, BF16 on ARM."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False  # macOS: Apple's processors gain nothing from it on the CPU
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def layout_of(device: str) -> torch.memory_format:
    """How images and weights lie in memory: channels last, but on Apple's GPUs, where torch gained that late.

    There the backward pass of batch norm failed on it, up to pytorch/pytorch#188371 of June 2026.
    """
    return torch.contiguous_format if device == "mps" else torch.channels_last


@contextmanager
def advised() -> Iterator[None]:
    """TrainingError with what to do, in place of what torch says of batches that are too large or too small."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        text = str(error)
        advice = next((advice for sign, advice in ADVICE.items() if sign in text), "")
        if not advice:
            raise
        raise TrainingError(f"This cannot be trained so: {text.splitlines()[0][:200].rstrip('.')}. {advice}") from error


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """For the length of the block torch takes deterministic algorithms alone, where that is wanted.

    Raises:
        TrainingError: something has no such algorithm on this device.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for, before it is first used
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if not wanted or "deterministic" not in str(error):
            raise
        raise TrainingError(
            f"--deterministic: {str(error).splitlines()[0]} Leave it out, or choose another --loss, --arch or "
            "--augment."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


class HalfPrecision(vision.MixedPrecision):  # type: ignore[misc]
    """fastai's MixedPrecision on any device; its own is written for CUDA alone.

    Args:
        device: cpu, cuda or mps.
        precision: bf16 or fp16, which scales the loss.
    """

    def __init__(self, device: str, precision: str) -> None:
        super().__init__(precision)
        self.device, self.precision, self.batch = device, precision, ExitStack()

    def before_fit(self) -> None:
        """fastai's event: the context of every batch, and the scaler, which does nothing in bf16."""
        self.autocast: Any = autocast(self.device, dtype=TYPES[self.precision])
        self.learn.scaler = GradScaler(self.device, enabled=self.precision == "fp16")
        self.scales = vision.L()

    def before_batch(self) -> None:
        """fastai's event: from here to the loss it is computed in half precision."""
        self.batch.enter_context(self.autocast)

    def after_loss(self) -> None:
        """fastai's event, and to be called where a batch is broken off: else all that this process computes later is in
        half precision too, and with the weights of that batch, which autocast keeps."""
        self.batch.close()
