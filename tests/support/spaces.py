"""A space with conditions, and every kind of sampler."""

from curriculum_search.search.optuna.samplers import (
    CMAES,
    NSGAII,
    QMC,
    TPE,
    AnyOptuna,
    GaussianProcess,
    Grid,
    Random,
    SearchSampler,
)
from curriculum_search.search.space import Categorical, Float, Int, Space

SPACE = Space(
    parameters={
        "order": Categorical(choices=("easy", "hard", "none")),
        "lr": Float(low=1e-4, high=1e-2, log=True),
        "pacing": Categorical(choices=("linear", "plateau"), when={"order": ["easy", "hard"]}),
        "patience": Float(low=0.01, high=0.1, when={"pacing": "plateau"}),
        "clusters": Int(low=2, high=20, when={"order": ["easy", "hard"]}),
    }
)
SAMPLERS: list[SearchSampler] = [
    TPE(),
    TPE(multivariate=False, group=False),
    GaussianProcess(num_startup_trials=5),
    CMAES(),
    QMC(),
    NSGAII(population_size=5),
    Random(),
    Grid(points=3),
    AnyOptuna(name="TPESampler", options={"n_startup_trials": 3}),
]
