"""The study of a sweep: which trials there are, who takes up which, what came of each. Optuna keeps it in the store.

Several processes may work on one study. A trial belongs to the process that holds its lock, which the system frees
when the process is gone, however it went: then the next one takes the trial up again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from sightline.errors import ConfigError, StoreError
from sightline.sweeps.draws import TAIL, Choice, Range
from sightline.sweeps.plan import Parameter, Plan, Stopping
from sightline.tracking.disk import full_disk, has_no_room, is_full_disk
from sightline.wording import one_line

if TYPE_CHECKING:
    import optuna

PATIENCE = 60.0
"""Seconds to wait for another process that writes to the study's database."""
STARTUP = 5
"""Of method bayes the first trials are drawn at random, for there is nothing yet to learn from."""
ENDED = ("finished", "stopped", "failed")


@dataclass(frozen=True)
class Trial:
    """What is known of one trial.

    Args:
        number: from 1.
        state: running (or broken off), finished, stopped early, failed.
        value: the metric in the epoch whose weights were kept; of a trial that was stopped, in its best one so far.
        best_epoch: that epoch; `epochs` how many it had.
        seconds: how long they took.
        run: the run of its training; `model` what came of it, as `name:vN`.
        error: why it failed.
        settings: parameter, as the file has it -> the setting's value.
        curve: epoch -> the metric.
    """

    number: int
    state: str
    value: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    seconds: float = 0.0
    run: str = ""
    model: str = ""
    error: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)


class Claim:
    """A trial that this process works on; made by `Study.claim`.

    Args:
        trial: the library's.
        settings: parameter -> value.
        again: whether it was begun before, and broken off.
    """

    def __init__(self, study: Study, trial: optuna.trial.Trial, settings: Mapping[str, Any], again: bool) -> None:
        self.study, self.trial, self.settings, self.again = study, trial, settings, again

    @property
    def number(self) -> int:
        """From 1."""
        return int(self.trial.number) + 1

    @property
    def curve(self) -> dict[int, float]:
        """Epoch -> value, as far as reported."""
        return self.study.trial(self.number).curve  # type: ignore[return-value]

    def report(self, epoch: int, value: float) -> None:
        """Tell the value after an epoch."""
        self.trial.report(value, epoch)

    def is_hopeless(self) -> bool:
        """Whether the trial should be ended early, for what it reported so far."""
        return bool(self.trial.should_prune())

    def note(self, **facts: Any) -> None:
        """Keep facts of the trial; see `Trial`."""
        for key, value in facts.items():
            self.trial.set_user_attr(key, value)

    def end(self, state: str, value: float | None = None) -> None:
        """Close the trial: finished with its value, stopped early, or failed."""
        from optuna.trial import TrialState

        states = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
        self.study.library.tell(self.trial, value if state == "finished" else None, state=states[state])


class Study:
    """The study of a plan in a store.

    Args:
        plan: what is searched.
        folder: of all sweeps of the store.
        digest: of `Plan.digest`. A plan that differs is another study, in the same database.
        seed: of what is drawn; each trial draws by a seed of its own, made of this and its number, so that a sweep
            that was broken off draws what it would have drawn.
        epochs: the most that a trial may have.

    Raises:
        ConfigError: Optuna is not installed.
        StoreError: the database cannot be used.
    """

    def __init__(self, plan: Plan, folder: Path, digest: str, seed: int, epochs: int) -> None:
        self.plan, self.seed = plan, seed
        self.name = f"{plan.name}-{digest[:8]}"
        self.path = folder / f"{plan.name}.db"
        self._locks = folder / self.name
        self._locks.mkdir(parents=True, exist_ok=True)
        with self._alone(), storing(self.path):
            self.library, self.known = _open(self, epochs)

    def trials(self) -> list[Trial]:
        """All that were begun, by number."""
        return [_trial(one, self.plan) for one in self.library.get_trials(deepcopy=False)]

    def trial(self, number: int) -> Trial:
        """The one of that number."""
        return self.trials()[number - 1]

    def best(self) -> Trial | None:
        """The finished trial with the best value, the earlier one of equals; None before the first."""
        done = [(one.value, one) for one in self.trials() if one.state == "finished" and one.value is not None]
        sign = 1 if self.plan.metric.goal == "maximize" else -1
        return max(done, key=lambda pair: sign * pair[0], default=(None, None))[1]

    @contextmanager
    def claim(self) -> Iterator[Claim | None]:
        """A trial for this process, for the length of the block: one that was broken off, else a new one.

        None where none is left to be taken up: as many were begun as were asked for, or the target is reached.
        """
        with self._alone():
            claim, lock = self._next()
        try:
            yield claim
        finally:
            if lock:
                with self._alone():
                    lock.release()
                    Path(lock.lock_file).unlink(missing_ok=True)

    def is_complete(self) -> bool:
        """Whether no further trial is to be begun."""
        best = self.best()
        reached = best is not None and best.value is not None and self.plan.metric.reached(best.value)
        return reached or len(self.library.get_trials(deepcopy=False)) >= self.plan.trials

    def running(self) -> int:
        """How many trials are not ended."""
        return sum(one.state == "running" for one in self.trials())

    def wait_for_twin(self, claim: Claim) -> None:
        """Wait until no earlier trial of the same settings is under way: it will answer for this one."""
        for one in self.trials()[: claim.number - 1]:
            if one.state == "running" and one.settings == claim.settings:
                self._lock(one.number).acquire()

    def _alone(self) -> FileLock:
        return FileLock(self._locks / "study.lock")

    def _lock(self, number: int) -> FileLock:
        return FileLock(self._locks / f"trial-{number}.lock", thread_local=False)

    def _next(self) -> tuple[Claim, FileLock] | tuple[None, None]:
        """The trial to work on, and its lock, which this process holds."""
        for one in self.trials():
            if one.state == "running":
                lock = self._lock(one.number)
                with contextlib.suppress(Timeout):
                    lock.acquire(timeout=0)
                    return self._again(one.number), lock
        if self.is_complete():
            return None, None
        claim = self._ask()
        lock = self._lock(claim.number)
        lock.acquire(timeout=0)
        return claim, lock

    def _again(self, number: int) -> Claim:
        """A trial that was broken off; what it had not drawn yet it draws now."""
        from optuna.trial import Trial as LibraryTrial

        frozen = self.library.get_trials(deepcopy=False)[number - 1]
        with self._sampling(number - 1):
            trial = LibraryTrial(self.library, frozen._trial_id)
            for one in self.plan.parameters:
                trial._suggest(one.name, _distribution(one, self.plan))
        return Claim(self, trial, _settings(trial, self.plan), again=True)

    def _ask(self) -> Claim:
        """A new trial."""
        with self._sampling(len(self.library.get_trials(deepcopy=False))):
            trial = self.library.ask({one.name: _distribution(one, self.plan) for one in self.plan.parameters})
        return Claim(self, trial, _settings(trial, self.plan), again=False)

    @contextmanager
    def _sampling(self, number: int) -> Iterator[None]:
        """The sampler of a trial, for the length of the block: Optuna's grid cannot be told of the end of a trial
        outside `optimize`, where it asks the study to stop."""
        idle = self.library.sampler
        self.library.sampler = _sampler(self.plan, self.seed, number)
        try:
            yield
        finally:
            self.library.sampler = idle


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """StoreError in place of what the library raises in the block where the database cannot be read or written."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        if is_full_disk(error) or has_no_room(path.parent):
            raise full_disk(path) from error
        text = one_line(error.__cause__ or error)
        raise StoreError(
            f"The database of the sweep, {path}, cannot be used: {text}. If it is locked, wait for the program that "
            "holds it. If it is damaged, move it away: the sweep begins anew, and trainings that are there answer."
        ) from error


def need_optuna() -> None:
    """ConfigError where Optuna is not installed."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise ConfigError("A sweep needs Optuna, which is not installed: pip install 'sightline[sweep]'.")


def _open(study: Study, epochs: int) -> tuple[optuna.Study, tuple[str, ...]]:
    """The library's study, and the names of the other studies in the same database."""
    import optuna
    from sqlalchemy.pool import NullPool

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # any path will do, whatever characters are in it: the address in front names none; no connection outlives its use
    storage = optuna.storages.RDBStorage(
        "sqlite:///study.db", engine_kwargs={"creator": lambda: _connection(study.path), "poolclass": NullPool}
    )
    known = tuple(optuna.study.get_all_study_names(storage))
    opened = optuna.create_study(
        study_name=study.name,
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=study.seed),
        pruner=_pruner(study.plan.stopping, epochs),
        direction=study.plan.metric.goal,
        load_if_exists=True,
    )
    return opened, known


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)


def _pruner(stopping: Stopping | None, epochs: int) -> optuna.pruners.BasePruner:
    from optuna import pruners

    if stopping is None:
        return pruners.NopPruner()
    if stopping.kind == "hyperband":
        return pruners.HyperbandPruner(stopping.min_iter, epochs, stopping.eta)
    return pruners.MedianPruner(stopping.min_trials, stopping.min_iter)


def _sampler(plan: Plan, seed: int, number: int) -> optuna.samplers.BaseSampler:
    import numpy as np
    from optuna import samplers

    if plan.method == "grid":  # which numbers its points by one shuffle
        return samplers.GridSampler({one.name: one.draw.grid() or [] for one in plan.parameters}, seed)
    own = int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])
    return (
        samplers.RandomSampler(own)
        if plan.method == "random"
        else samplers.TPESampler(seed=own, n_startup_trials=STARTUP)
    )


def _distribution(parameter: Parameter, plan: Plan) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    draw = parameter.draw
    if plan.method == "grid":
        return distributions.CategoricalDistribution(draw.grid() or [])
    if isinstance(draw, Choice):
        return distributions.CategoricalDistribution(draw.labels)
    if isinstance(draw, Range) and draw.integer:
        return distributions.IntDistribution(int(draw.low), int(draw.high))
    if isinstance(draw, Range):
        return distributions.FloatDistribution(draw.low, draw.high, log=draw.log)
    return distributions.FloatDistribution(TAIL, 1 - TAIL)


def _settings(trial: Any, plan: Plan) -> dict[str, Any]:
    """Parameter -> the setting's value. What a grid drew are values; what the others drew may be quantiles."""
    grid = plan.method == "grid"
    return {
        one.name: one.target.convert(_of_grid(one, trial.params[one.name]))
        if grid
        else one.value(trial.params[one.name])
        for one in plan.parameters
        if one.name in trial.params
    }


def _of_grid(parameter: Parameter, drawn: Any) -> Any:
    draw = parameter.draw
    return drawn if isinstance(draw, Range) else Choice(draw.options).value(drawn)  # type: ignore[union-attr]


def _trial(frozen: optuna.trial.FrozenTrial, plan: Plan) -> Trial:
    state = {"COMPLETE": "finished", "PRUNED": "stopped", "FAIL": "failed"}.get(frozen.state.name, "running")
    noted = frozen.user_attrs | ({"value": frozen.value} if state == "finished" else {})
    return Trial(
        number=frozen.number + 1,
        state=state,
        settings=_settings(frozen, plan),
        curve=dict(frozen.intermediate_values),
        **noted,
    )
