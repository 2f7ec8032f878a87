"""Training in several processes, through fastai's own support for it (`fastai.distributed`, which needs accelerate).

Each process computes on its share of every batch. What comes of it is what one process would have computed on the
whole batch: the loss is made of sums over all processes, so it is the same number everywhere and its gradient is that
of the whole batch; confusion matrices are added up as integers; no image of validation is counted twice. Batch norm
looks at the whole batch on GPUs (`SyncBatchNorm`) and at the process's share on CPUs.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import DistributedDataParallelKwargs
from fastai.distributed import DistributedDL, DistributedTrainer
from fastcore.basics import chunked
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sightline.errors import TrainingError
from sightline.learning.checkpoint import MeanIoU, reseed
from sightline.learning.libraries import vision
from sightline.learning.losses import CrossEntropyDice
from sightline.learning.ranks import world


def spread(learner: Any, device: str, ignore_index: int, weights: Sequence[float] | None) -> None:
    """Let a Learner train together with those of the other processes.

    Args:
        learner: the same on every process.
        device: cpu or cuda.
        ignore_index: the masks' value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy; None: all 1.

    Raises:
        TrainingError: fewer training images than processes.
    """
    if learner.dls.train.bs < world().size:
        raise TrainingError(f"{world().size} processes cannot share {learner.dls.train.bs} training images.")
    if isinstance(learner.loss_func, CrossEntropyDice):
        learner.loss_func.total = summed
    else:
        learner.loss_func = Averaged(learner.loss_func, ignore_index, weights).to(learner.dls.device)
    learner.add_cb(Spread(device, ignore_index))


class _Summed(torch.autograd.Function):
    """The sum over the processes; a gradient flows to this process's share of it alone."""

    @staticmethod
    def forward(_ctx: Any, own: torch.Tensor) -> torch.Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def summed(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Each tensor's sum over the processes, in its own type; all go over in one message, as float64."""
    total = _Summed.apply(torch.cat([part.double().flatten() for part in parts]))
    pieces = total.split([part.numel() for part in parts])
    return [piece.view(part.shape).to(part.dtype) for piece, part in zip(pieces, parts, strict=True)]


class Averaged(nn.Module):
    """The mean of the processes' losses by their labelled pixels: exact for cross-entropy, near it for others.

    Args:
        loss: of one process's share.
        ignore_index: the target's value for a pixel of no class.
        weights: C weights of the classes in the cross-entropy.
    """

    weights: torch.Tensor | None

    def __init__(self, loss: Any, ignore_index: int, weights: Sequence[float] | None) -> None:
        super().__init__()
        self.loss, self.ignore_index = loss, ignore_index
        self.register_buffer("weights", None if weights is None else torch.tensor(weights, dtype=torch.float32))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits B×C×h×w, target B×h×w integers -> a scalar, the same on every process."""
        truth = target.as_subclass(torch.Tensor).long()
        kept = truth != self.ignore_index
        weight = kept.sum() if self.weights is None else self.weights[truth[kept]].sum()
        # the mean over no pixels would be NaN; the graph stays whole, for DDP waits for every gradient
        own = self.loss(logits, target) if kept.any() else logits.sum() * 0
        total, share = summed([own.as_subclass(torch.Tensor) * weight, weight.double()])
        return total / share.clamp(min=1e-6).to(total.dtype)


class Share(DistributedDL):  # type: ignore[misc]
    """This process's part of each batch of a loader. Every process draws the same order, so none has to be sent.

    fastai's own repeats images until the processes have equally many. Here a process that gets none of the last, small
    batch of validation takes an image whose mask is all `ignore_index`, which counts nowhere.

    Args:
        dl: the loader of whole batches; it is left as it was.
        ignore_index: the masks' value for a pixel of no class.
    """

    def __init__(self, dl: Any, ignore_index: int) -> None:
        here, own = world(), copy.copy(dl)
        self.whole = dl.bs - dl.bs % here.size
        own.bs = self.whole // here.size
        super().__init__(own, here.rank, here.size, dl.device)
        self.ignore_index, self.images, self._n_inp = ignore_index, dl.n, 1

    @property
    def rng(self) -> random.Random:
        """The order's generator, which is the loader's own."""
        generator: random.Random = self.dl.rng
        return generator

    @rng.setter
    def rng(self, generator: random.Random) -> None:
        self.dl.rng = generator

    def __len__(self) -> int:
        return int(self.images // self.whole if self.drop_last else -(-self.images // self.whole))

    def get_idxs(self) -> list[int]:
        """The numbers of this process's images, batch by batch; `sizes` are those of the whole batches."""
        batches = list(chunked(list(self.dl.get_idxs()), self.whole, self.drop_last))
        self.sizes = [len(batch) for batch in batches]
        shares = [self._part(batch) for batch in batches]
        self.blank = [not share for share in shares]
        return [number for batch, share in zip(batches, shares, strict=True) for number in share or batch[:1]]

    def _part(self, batch: list[int]) -> list[int]:
        return batch[len(batch) * self.rank // self.world_size : len(batch) * (self.rank + 1) // self.world_size]

    def after_batch(self, batch: Any) -> Any:
        """fastai's event, on the device."""
        ready = self.dl.after_batch(batch)
        if self.blank[self.i]:
            ready[1].fill_(self.ignore_index)
        self.i += 1
        return ready

    def to_detach(self, batch: Any, cpu: bool = True, gather: bool = True) -> Any:
        """Not gathered: what is asked for is the same on every process."""
        return vision.to_detach(batch, cpu, gather=False)


class Spread(DistributedTrainer):  # type: ignore[misc]
    """fastai's callback for several processes, with loaders that repeat nothing and metrics that are sums.

    The network goes into `DistributedDataParallel` for training alone: in validation nothing is sent between batches.

    Args:
        device: cpu or cuda; batch norm is `SyncBatchNorm` on cuda alone, for torch has none for CPUs.
        ignore_index: the masks' value for a pixel of no class.
    """

    order = vision.TrainEvalCallback.order - 1  # the others see the network and the loaders that are in use

    def __init__(self, device: str, ignore_index: int) -> None:
        buffers_stay = DistributedDataParallelKwargs(broadcast_buffers=False)
        super().__init__(device == "cuda", cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[buffers_stay])
        self.ignore_index = ignore_index

    def before_fit(self) -> None:
        """fastai's event: the network and the loaders are made ready."""
        if self.sync_bn:
            self.learn.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.learn.model)  # type: ignore[no-untyped-call]
        self.plain, self.parallel = self.learn.model, None
        self.trained: list[bool] = []
        self.old_dls = list(self.dls)
        self.learn.dls.loaders = [Share(dl, self.ignore_index) for dl in self.dls]

    def before_train(self) -> None:
        """fastai's event: gradients are averaged from here on, and each process augments by draws of its own."""
        trained = [part.requires_grad for part in self.plain.parameters()]
        if trained != self.trained:  # it waits for the gradients of those that were trained when it was made
            self.parallel = None
            self.accelerator.free_memory()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # what torch calls the buffers from 2.15 on
                self.parallel, self.trained = self.accelerator.prepare(self.plain), trained
        self.learn.model = self.parallel
        if not world().first:
            reseed(torch.initial_seed(), world().rank)

    def before_backward(self) -> None:
        """fastai's event: of the gradients the mean is taken, but their sum is that of the whole batch's loss."""
        self.learn.loss_grad = self.learn.loss_grad * world().size

    def before_validate(self) -> None:
        """fastai's event: batch norm has seen other images in each process; what it remembers becomes the mean."""
        self.learn.model = self.plain
        if not self.sync_bn:
            average_statistics(self.plain)
        self.loss_sum = 0.0

    def after_batch(self) -> None:
        """fastai's event: the losses of validation, which are those of whole batches, are added up by their sizes."""
        if not self.training:
            self.loss_sum += float(self.learn.loss) * self.learn.dl.sizes[self.learn.iter]

    def after_validate(self) -> None:
        """fastai's event, before the metrics are read: they become those of all images."""
        mean = self.recorder.loss
        mean.total, mean.count = self.loss_sum, sum(self.learn.dl.sizes)
        for metric in self.learn.metrics:
            if isinstance(metric, MeanIoU) and metric.counts is not None:
                dist.all_reduce(metric.counts)

    def after_fit(self) -> None:
        """fastai's event: everything as it was, but for what was learned."""
        self.learn.model, self.learn.dls.loaders = self.plain, self.old_dls


def average_statistics(model: nn.Module) -> None:
    """Batch norm's running mean and variance become their means over the processes."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None]
    parts = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
    if not parts:
        return
    flat = torch.cat(parts)
    dist.all_reduce(flat)
    means = torch.split(flat / world().size, [len(part) for part in parts])
    for part, mean in zip(parts, means, strict=True):
        part.copy_(mean)
