"""What a page shows of a study, as plain data: `search.results.page` gathers it, the other modules here draw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from curriculum_search.direction import Direction
from curriculum_search.report.table import Row
from curriculum_search.report.verdict import VerdictLayers

Points = Sequence[tuple[int, float]]  #: (images seen, value)
Role = Literal["reference", "leader", "control", "baseline"]
#: How a run ended, or that it has not.
Outcome = Literal["finished", "stopped", "diverged", "failed", "lost", "under way"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What one run of an arm trained on, and when.

    Attributes:
        total_images: of the run's budget.
        edges: [K + 1], intervals of the noise quantile q.
        levels: [K], the native noise level at the middle of each, in words.
        starts: [S], images seen when each stretch with one density began.
        density: [S][K], of each stretch and interval; 1 where training is spread evenly over q.
        exposure: [K], the average of it over all images.
        stages: that began in the run.
        remark: what the numbers leave out; empty if nothing.
    """

    total_images: int
    edges: Sequence[float]
    levels: Sequence[str]
    starts: Sequence[int]
    density: Sequence[Sequence[float]]
    exposure: Sequence[float]
    stages: int
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm with its runs.

    Attributes:
        title: in words.
        role: in the comparison.
        finals: metric to seed to its value at the end, NaN where the run diverged.
        curves: metric to seed to its curve.
        schedule: of its first run; None where nothing is known of it.
    """

    title: str
    role: Role
    finals: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, Points]] = field(default_factory=dict)
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One arm against another under one metric.

    Attributes:
        name: of the comparison.
        arm: its title.
        against: the other's title.
        against_mean: the mean of the other.
        difference, low, high: of the arm's mean from the other's, with an interval; None with too few seeds for one.
        claimed: whether the difference is claimed to be real.
        p_value: of that; None where there is no interval.
        seeds: of the arm.
    """

    name: str
    arm: str
    against: str
    against_mean: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    claimed: bool = False
    p_value: float | None = None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run of the search: a baseline's, or a trial's on its first seed.

    Attributes:
        name: in words.
        order: of its curriculum, in words: what gives it its colour.
        params: searched values by dotted path, those that exist in it; empty of a baseline.
        outcome: how it ended.
        curve: the deciding metric.
        total_images: of its budget.
        values: of each objective, where all its runs have ended well; else empty.
        began, ended: in seconds since the first run of the study; None where no report has come.
        best: whether it belongs to the Pareto set of several objectives.
        reason: what went wrong, if it did.
    """

    name: str
    order: str
    params: Mapping[str, object]
    outcome: Outcome
    curve: Points
    total_images: int
    values: Sequence[float] = ()
    began: float | None = None
    ended: float | None = None
    best: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A searched parameter.

    Attributes:
        path: dotted.
        choices: of a categorical one, in their order; empty of a number.
        low, high: of a number.
        log: whether it is searched on a logarithmic scale.
    """

    path: str
    choices: Sequence[object] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much each parameter mattered over one set of trials.

    Attributes:
        heading: which trials, in words.
        sentence: what there is to say beside the numbers.
        shares: objective to parameter to share; empty where nothing can be said.
        meaning: how to read it.
    """

    heading: str
    sentence: str
    shares: Mapping[str, Mapping[str, float]]
    meaning: str


@dataclass(frozen=True, kw_only=True)
class PathStep:
    """A step from ordinary training to the winner.

    Attributes:
        change: what is new in it, in words.
        values: of its runs.
        difference, error: from the step before, with its standard error; None where it is not known.
    """

    change: str
    values: Sequence[float]
    difference: float | None
    error: float | None


@dataclass(frozen=True, kw_only=True)
class PathToWinner:
    """The way from ordinary training to the winner: its steps, or why there is none.

    Attributes:
        sentence: what it comes to.
        steps: in their order.
        meaning: how to read it.
    """

    sentence: str
    steps: Sequence[PathStep] = ()
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one part of a study has cost.

    Attributes:
        part: its name.
        runs: that have begun.
        images: that they have seen.
        hours: of all its runs together.
        gpu_hours: the same, times the GPUs that they held.
    """

    part: str
    runs: int
    images: int
    hours: float
    gpu_hours: float


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Images that runs of one seed have generated from the same noise.

    Attributes:
        seed: of the runs.
        grids: title of the arm to its grid at the end, a PNG or WebP file.
        earlier: images seen to the same of an evaluation before, where all the arms have one.
        total_images: images seen at the end.
    """

    seed: int
    grids: Mapping[str, bytes]
    earlier: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    total_images: int = 0


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """A study, as far as it has come.

    Attributes:
        name: of the study.
        state: how far it is, in words; empty where it is finished.
        layers: the verdict in words.
        objectives: the deciding one first.
        directions: of each.
        size: " at the proxy's size" where the search trained smaller runs, else empty.
        arms: of the confirmation, the reference first; empty where nothing was confirmed.
        effects: metric to comparisons, the deciding metric first.
        confidence: of the intervals.
        rows: the table of arms and trials.
        samples: of seeds that the reference and the winner share, the first first.
        parameters: that were searched.
        trials: in the order in which they were begun.
        importances: over each set of trials.
        pareto: what there is to say of several objectives; empty for one.
        path: the ablation; None where none was asked for.
        costs: by part.
        hours, gpu_hours: that commands were at work, and that runs held GPUs.
        failures: what went wrong, in words.
        commands: what it is for, to a command line.
        files: name to text, for reference.
        versions: of programs, by name.
    """

    name: str
    state: str
    layers: VerdictLayers
    objectives: Sequence[str]
    directions: Sequence[Direction]
    size: str
    arms: Sequence[Arm]
    effects: Mapping[str, Sequence[Effect]]
    confidence: float
    rows: Sequence[Row]
    samples: Sequence[Samples]
    parameters: Sequence[Parameter]
    trials: Sequence[Trial]
    importances: Sequence[Importance]
    pareto: str
    path: PathToWinner | None
    costs: Sequence[Cost]
    hours: float
    gpu_hours: float
    failures: str
    commands: Mapping[str, str]
    files: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def objective(self) -> str:
        """The metric that decides."""
        return self.objectives[0]

    @property
    def direction(self) -> Direction:
        """Whether less or more of it is better."""
        return self.directions[0]
