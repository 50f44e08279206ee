"""What to try next: Optuna, asked and told.

Every trial ends in Optuna's own terms: COMPLETE with its final value, PRUNED with the intermediate values that it
reached, FAIL with a reason.  The storage is one journal file, written before anything is trained, which survives the
driver and which Optuna's tools read (``optuna trials --storage study.journal --study-name NAME``;
``optuna-dashboard study.journal``).
"""

import json
import math
import random
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.encoding import decode, encode, suggest, to_directions, to_optuna
from curriculum_search.search.optuna.journal import Journal
from curriculum_search.search.optuna.samplers import Grid, SearchSampler
from curriculum_search.search.optuna.suitability import without_end
from curriculum_search.search.space import Distribution, Float, Space

#: How often a sampler may propose what has been tried, or what cannot be trained, before chance takes over.
_MAX_REPEATS = 3
_MAX_GRID = 100_000
#: Random configurations among which a new one is looked for.
_DRAWS = 100
#: Mark of a trial that was never trained: a repetition, or a configuration that cannot be.
_REJECTED = "rejected"
#: Mark of a trial that another study has trained, and this one has been told.
LEARNT = "learnt"


class Searcher:
    """One study's configurations: proposes them, remembers how they ended, survives a restart.

    Not thread-safe; one process owns the study (others may read the file).
    """

    def __init__(
        self,
        space: Space,
        sampler: SearchSampler,
        *,
        path: Path,
        name: str,
        identity: Callable[[dict[str, Any]], str],
        directions: Sequence[Direction] = (Direction.MINIMIZE,),
        seed: int = 0,
        begun: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    ) -> None:
        """Open the study `name` in the journal file `path`, or begin it.

        Args:
            space: what is searched.
            sampler: how.
            path: the journal file; its folder must exist.
            name: of the study.
            identity: of a configuration; two with the same identity would train the same run.
            directions: one per objective.
            seed: of the sampler's random state (which also depends on the number of trials so far).
            begun: gives the configurations whose training has begun: the last one's is among them, should the end of
                the journal have been lost with its parameters.

        Raises:
            ValueError: the study exists with another space or other objectives.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self._identity = identity
        self._begun = begun
        self._journal = Journal(path)
        self._storage = optuna.storages.JournalStorage(self._journal)
        with _calm():
            self.study = without_end(_open_study(self._storage, name, space, directions))
            trials = self._trials()
            self._rng = random.Random(f"{seed}/{len(trials)}")
            fresh = not trials or sampler.same_seed
            self.study.sampler = sampler.build(seed if fresh else self._rng.getrandbits(31))
        self._grid = self._shuffled_grid(sampler.points) if isinstance(sampler, Grid) else None
        self._queued = {_key(t.system_attrs["fixed_params"]) for t in trials if "fixed_params" in t.system_attrs}
        self._known: dict[str, int] = {}
        self._running: dict[int, dict[str, Any]] = {}
        self._exhausted: set[str] = set()
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                self._admit(trial.number, self._interrupted(trial))
            elif trial.state != TrialState.WAITING and _REJECTED not in trial.user_attrs:
                self._known.setdefault(identity(self._params(trial)), trial.number)

    def ask(self, *wishes: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """The next configuration to train, and its trial's number: what was enqueued, then what the sampler proposes.

        A configuration whose identity is known is not handed out again, nor one for which `identity` raises ValueError:
        the trial is told as FAIL, with the reason.

        Args:
            wishes: values that the proposal has to have: the first of these with which there is anything new.

        Returns:
            None when nothing is left that has not been tried.
        """
        held = next((dict(wish) for wish in wishes if self._can_have(wish)), {})
        rejected = 0
        while True:
            if not self._trials((TrialState.WAITING,)):
                if self._grid is not None or rejected >= _MAX_REPEATS:
                    fresh = self._untried(held)
                    if fresh is None:
                        return None
                    self.study.enqueue_trial(encode(fresh))
                elif held:
                    self.study.enqueue_trial(encode(held))
            with _calm():
                trial = self.study.ask()
                params = self._sample(trial)
            if self._admit(trial.number, params):
                self._journal.sync()
                return trial.number, params
            rejected += 1

    def enqueue(self, params: Mapping[str, Any], *, source: str = "") -> bool:
        """Have `params` tried before anything that the sampler proposes; the sampler fills in what they leave open.

        Args:
            params: dotted path to value, some or all of a configuration.
            source: where they come from, kept with the trial.

        Returns:
            False if the same was enqueued before (a restarted driver need not remember).

        Raises:
            ValueError: they are not in the space.
        """
        self.space.check(params, partial=True)
        encoded = encode(params)
        if _key(encoded) in self._queued:
            return False
        self._queued.add(_key(encoded))
        self.study.enqueue_trial(encoded, user_attrs={"source": source} if source else None)
        return True

    def knows(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration has been tried or learnt, or waits to be tried."""
        if _key(encode(params)) in self._queued:
            return True
        try:
            self.space.check(params)
            return self._identity(dict(params)) in self._known
        except ValueError:
            return False

    def learn(self, params: Mapping[str, Any], values: float | Sequence[float], *, source: str) -> bool:
        """Add a finished configuration of another study, so that the sampler starts from it.

        Returns:
            False if the configuration is known already.

        Raises:
            ValueError: `params` are not a configuration of the space, or a value is not finite.
        """
        self.space.check(params)
        values = _as_values(values)
        if not all(map(math.isfinite, values)):
            raise ValueError(f"values must be finite, not {values}")
        identity = self._identity(dict(params))
        if identity in self._known:
            return False
        trial = optuna.trial.create_trial(
            values=values,
            params=encode(params),
            distributions={path: to_optuna(self.space.parameters[path]) for path in params},
            user_attrs={"source": source, LEARNT: True},
        )
        self.study.add_trial(trial)
        self._known[identity] = len(self._trials()) - 1
        return True

    def report(self, number: int, images: int, value: float) -> None:
        """Keep a running trial's value after `images` images; of several objectives, the first."""
        if self._several:
            self._storage.set_trial_user_attr(self._trial_id(number), f"at {images} images", value)
        else:
            self._storage.set_trial_intermediate_value(self._trial_id(number), images, value)

    def tell_complete(self, number: int, value: float | Sequence[float]) -> None:
        """The trial ran to its end; a value that is not a finite number is told as FAIL."""
        values = _as_values(value)
        if all(map(math.isfinite, values)):
            self._tell(number, TrialState.COMPLETE, values)
        else:
            self.tell_fail(number, f"diverged: the final value is {value}")

    def tell_pruned(self, number: int, intermediate: Mapping[int, float]) -> None:
        """The trial was stopped early; `intermediate` holds its values by images seen, reported already or not."""
        trial = self._trials()[number]
        for images, value in sorted(intermediate.items()):
            if images not in trial.intermediate_values:
                self.report(number, images, value)
        self._tell(number, TrialState.PRUNED, None)

    def tell_fail(self, number: int, reason: str) -> None:
        """The trial has no value: it diverged, or its run raised an error."""
        self._storage.set_trial_user_attr(self._trial_id(number), "reason", reason)
        self._tell(number, TrialState.FAIL, None)

    def running(self) -> list[tuple[int, dict[str, Any]]]:
        """The trials that were handed out and have not ended: after a restart, those to go on with."""
        return sorted(self._running.items())

    def handed_out(self) -> list[tuple[int, dict[str, Any]]]:
        """All trials that `ask` has handed out, running or ended, in this process or before it."""
        return [
            (trial.number, self._params(trial))
            for trial in self._trials()
            if trial.state != TrialState.WAITING and not {_REJECTED, LEARNT} & set(trial.user_attrs)
        ]

    def completed(self) -> set[int]:
        """The trials that were told as complete."""
        return {trial.number for trial in self._trials((TrialState.COMPLETE,))}

    @property
    def _several(self) -> bool:
        return len(self.study.directions) > 1

    def _trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _trial_id(self, number: int) -> int:
        return self._trials()[number]._trial_id

    def _params(self, trial: FrozenTrial) -> dict[str, Any]:
        return decode(self.space, trial.params)

    def _tell(self, number: int, state: TrialState, values: list[float] | None) -> None:
        self.study.tell(number, values, state=state)
        self._journal.sync()
        self._running.pop(number, None)

    def _sample(self, trial: optuna.Trial) -> dict[str, Any]:
        return self.space.define(partial(suggest, trial))

    def _interrupted(self, trial: FrozenTrial) -> dict[str, Any]:
        """A RUNNING trial's parameters; the driver may have ended in the middle of sampling them, or the machine before
        the disk had them, be it that the training had begun."""
        params = self._params(trial)
        try:
            self.space.check(params)
        except ValueError:
            lost = next((each for each in self._begun() if _agrees(each, params) and self._is_new(dict(each))), None)
            if lost is not None:
                self._storage.set_trial_system_attr(trial._trial_id, "fixed_params", encode(lost))
            with _calm():
                return self._sample(optuna.Trial(self.study, trial._trial_id))
        return params

    def _admit(self, number: int, params: dict[str, Any]) -> bool:
        """Whether the trial is to be trained; else it is told as FAIL, with the reason."""
        try:
            identity = self._identity(params)
        except ValueError as error:
            reason = f"cannot be trained: {error}"
        else:
            first = self._known.setdefault(identity, number)
            if first == number:
                self._running[number] = params
                return True
            reason = f"the same as trial {first}"
        self._storage.set_trial_user_attr(self._trial_id(number), _REJECTED, True)
        self.tell_fail(number, reason)
        return False

    def _is_new(self, params: dict[str, Any]) -> bool:
        try:
            return self._identity(params) not in self._known
        except ValueError:
            return False

    def _can_have(self, wish: Mapping[str, Any]) -> bool:
        """Whether anything with these values is new; what once was not is not looked for again."""
        if _key(wish) not in self._exhausted and self._untried(wish) is None:
            self._exhausted.add(_key(wish))
        return _key(wish) not in self._exhausted

    def _shuffled_grid(self, points: int) -> list[dict[str, Any]]:
        grid = []
        for params in self.space.grid(points):
            grid.append(params)
            if len(grid) > _MAX_GRID:
                raise ValueError(f"sampler grid: the space has more than {_MAX_GRID:,} configurations; lower points")
        random.Random(0).shuffle(grid)
        return grid

    def _untried(self, fixed: Mapping[str, Any]) -> dict[str, Any] | None:
        if self._grid is not None:
            while self._grid and not self._is_new(self._grid[-1]):
                self._grid.pop()
            return next((p for p in reversed(self._grid) if _agrees(p, fixed) and self._is_new(p)), None)
        for _ in range(_DRAWS):
            params = self.space.define(lambda path, dist: fixed[path] if path in fixed else self._draw(dist))
            if self._is_new(params):
                return params
        if any(isinstance(distribution, Float) for distribution in self.space.parameters.values()):
            return None
        return next((p for p in self.space.grid(1) if _agrees(p, fixed) and self._is_new(p)), None)

    def _draw(self, distribution: Distribution) -> Any:
        if isinstance(distribution, Float) and distribution.log:
            return distribution.low * (distribution.high / distribution.low) ** self._rng.random()
        if isinstance(distribution, Float):
            return self._rng.uniform(distribution.low, distribution.high)
        return self._rng.choice(distribution.values(1))


@contextmanager
def _calm() -> Iterator[None]:
    """Without Optuna's warnings that `group` is experimental and that a study is being created."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _open_study(
    storage: optuna.storages.BaseStorage, name: str, space: Space, directions: Sequence[Direction]
) -> optuna.Study:
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=to_directions(directions),
        load_if_exists=True,
        sampler=_NO_SAMPLER,
    )
    settings = {"space": space.fingerprint(), "directions": list(directions)}
    for key, value in settings.items():
        if key not in study.user_attrs:  # A new study, or one whose driver was killed before this.
            study.set_user_attr(key, value)
        elif study.user_attrs[key] != value:
            raise ValueError(
                f"study {name!r} exists with another {key}: {study.user_attrs.get(key)}; now it is {value}. "
                f"Give the study another name, or the old {key} back"
            )
    return study


_NO_SAMPLER: BaseSampler = optuna.samplers.RandomSampler()


def _agrees(params: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    return all(path in params and params[path] == value for path, value in fixed.items())


def _key(encoded: Mapping[str, Any]) -> str:
    return json.dumps(encoded, sort_keys=True)


def _as_values(value: float | Sequence[float]) -> list[float]:
    return [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]
