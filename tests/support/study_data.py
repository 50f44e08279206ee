"""A study's data for a page, of any size, without a study."""

import io
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from curriculum_search.direction import Direction
from curriculum_search.report import Row, VerdictLayers
from curriculum_search.report.page import (
    Arm,
    Cost,
    Effect,
    Importance,
    Outcome,
    Parameter,
    PathStep,
    PathToWinner,
    Role,
    Samples,
    Schedule,
    StudyData,
    Trial,
)
from curriculum_search.report.page.plot import Spec

METRICS = ("fd", "fd_other")
ORDERS = ("no curriculum", "easy to hard", "hard to easy", "random")
_OUTCOMES: tuple[Outcome, ...] = ("finished", "finished", "stopped", "diverged")


def study_data(*, num_arms: int = 6, num_trials: int = 24, num_seeds: int = 4, **fields: Any) -> StudyData:
    """A finished study with everything that a page can show."""
    rng = np.random.default_rng(0)
    arms = [_arm(i, num_seeds, rng) for i in range(num_arms)]
    data = StudyData(
        name="synthetic",
        state="",
        layers=VerdictLayers(
            headline="Trial 3 beats ordinary training: 12 % lower fd (95 %: 5 to 19 %), 4 seeds.",
            order="exposure is shown, an order on top is not.",
            metrics="fd_other agrees.",
            sooner="",
            next_step="train best.yaml.",
            fine_print=("Two of nine runs <failed>.",),
        ),
        objectives=("fd", "images_to_baseline"),
        directions=(Direction.MINIMIZE, Direction.MINIMIZE),
        size="",
        arms=arms,
        effects={metric: _effects(arms, metric) for metric in METRICS},
        confidence=0.95,
        rows=[
            Row(group="leaders", name=arm.title, value=2.0 + i, images=64_000, train_seconds=7)
            for i, arm in enumerate(arms)
        ],
        samples=[
            Samples(
                seed=seed,
                grids={arm.title: picture(rng) for arm in arms[:2]},
                earlier={images: {arm.title: picture(rng) for arm in arms[:2]} for images in earlier},
                total_images=64_000,
            )
            for seed, earlier in ((1, (12_800, 38_400)), (2, ()))
        ],
        parameters=[
            Parameter(path="training.learning_rate", low=1e-3, high=1e-2, log=True),
            Parameter(path="curriculum.order.kind", choices=("none", "easy_to_hard", "hard_to_easy", "random")),
            Parameter(path="curriculum.num_clusters", low=3, high=20),
        ],
        trials=[_trial(i, rng) for i in range(num_trials)],
        importances=[
            Importance(
                heading="Importance over all trials",
                sentence="24 complete trials.",
                shares={"fd": {"training.learning_rate": 0.7, "curriculum.order.kind": 0.3}},
                meaning="A hint.",
            )
        ],
        pareto="Large: the 2 configs.",
        path=PathToWinner(
            sentence="fd changes by -0.4 in all.",
            steps=[
                PathStep(change="ordinary training", values=(3.0, 3.2), difference=None, error=None),
                PathStep(change="training.learning_rate = 0.004", values=(2.8, 2.9), difference=-0.25, error=0.1),
                PathStep(change="lost", values=(), difference=None, error=None),
            ],
        ),
        costs=[Cost(part="search", runs=num_trials, images=64_000 * num_trials, hours=0.04, gpu_hours=0.04)],
        hours=0.1,
        gpu_hours=0.1,
        failures="",
        commands={"This page again": "python jobs/report.py results/synthetic"},
        files={"study.yaml": "study: {name: synthetic}\n"},
        versions={"Python": "3.11"},
    )
    return replace(data, **fields)


def checked(view: Spec) -> go.Figure:
    """A plot as plotly itself takes it, with every name of a colour replaced by one.

    Raises:
        ValueError: it has a property or a value that plotly does not know.
    """
    plain = _coloured(view)
    return go.Figure(data=plain["data"], layout=plain["layout"])


def picture(rng: np.random.Generator) -> bytes:
    """A small grid as a PNG file."""
    output = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(output, "PNG")
    return output.getvalue()


def _coloured(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _coloured(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_coloured(item) for item in value]
    return "#123456" if isinstance(value, str) and re.fullmatch(r"\$\w+(/[\d.]+)?", value) else value


def _arm(i: int, num_seeds: int, rng: np.random.Generator) -> Arm:
    roles: tuple[Role, ...] = ("reference", "leader", "control")
    title = ("no curriculum", "trial 3: hard to easy", "trial 3, exposure only")[i] if i < 3 else f"arm {i}: random"
    images = [12_800 * step for step in range(1, 6)]
    curves = {
        metric: {
            seed: [(at, float(3 + i / 5 + 60 / step**2 + rng.normal(0, 0.2))) for step, at in enumerate(images, 1)]
            for seed in range(1, num_seeds + 1)
        }
        for metric in METRICS
    }
    return Arm(
        title=title,
        role=roles[i] if i < 3 else "baseline",
        finals={m: {seed: points[-1][1] for seed, points in runs.items()} for m, runs in curves.items()},
        curves=curves,
        schedule=schedule_of(4),
    )


def schedule_of(stages: int, **fields: Any) -> Schedule:
    """A schedule that unlocks a quantile after the other, from noise to clean."""
    edges = [i / stages for i in range(stages + 1)]
    density = [[stages / (s + 1) if k >= stages - 1 - s else 0.0 for k in range(stages)] for s in range(stages)]
    schedule = Schedule(
        total_images=64_000,
        edges=edges,
        levels=[f"timestep {k}" for k in range(stages)],
        starts=[16_000 * s for s in range(stages)],
        density=density,
        exposure=[sum(column) / stages for column in zip(*density, strict=True)],
        stages=stages,
    )
    return replace(schedule, **fields)


def _effects(arms: list[Arm], metric: str) -> list[Effect]:
    mean = sum(arms[0].finals[metric].values()) / max(len(arms[0].finals[metric]), 1)
    found = []
    for i, arm in enumerate(arms[1:], 1):
        difference = sum(arm.finals[metric].values()) / max(len(arm.finals[metric]), 1) - mean
        effect = Effect(
            name=arm.title,
            arm=arm.title,
            against=arms[0].title,
            against_mean=mean,
            difference=difference,
            low=difference - 0.4,
            high=difference + 0.4 if i != 4 else math.inf,
            claimed=i == 1,
            p_value=0.01 * i,
            seeds=len(arm.finals[metric]),
        )
        found.append(effect)
    return found


def _trial(i: int, rng: np.random.Generator) -> Trial:
    order, outcome = ORDERS[i % 4], _OUTCOMES[i % 3 if i % 11 else 3]
    length = 5 if outcome == "finished" else 2
    value = float(3 + 9 * rng.random())
    params: dict[str, object] = {
        "training.learning_rate": float(10 ** rng.uniform(-3, -2)),
        "curriculum.order.kind": "none" if i % 4 == 0 else order.replace(" ", "_"),
    }
    if i % 4:
        params["curriculum.num_clusters"] = int(rng.integers(3, 21))
    return Trial(
        name=f"trial {i}: {order}",
        order=order,
        params={} if i < 2 else params,
        outcome=outcome,
        curve=[(12_800 * step, value + 60 / step) for step in range(1, length + 1)],
        total_images=64_000,
        values=(value, float(rng.random())) if outcome == "finished" else (),
        began=7.0 * i,
        ended=7.0 * i + 6,
        best=i in (3, 6),
    )
