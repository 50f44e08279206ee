import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from curriculum_search.curriculum import (
    Exponential,
    FixedExponential,
    FixedPacing,
    Linear,
    Logarithmic,
    Observation,
    Pacing,
    Plateau,
    Polynomial,
    Quadratic,
    Reason,
    Root,
    SingleStep,
    Step,
    VariedExponential,
)
from curriculum_search.testing import check_pacing

# (pacing, share of the budget spent, fraction unlocked), worked out by hand from the published formulas:
# Wu, Dyer & Neyshabur 2021, table 2, with a = 1/2 and b = 1/5; Hacohen & Weinshall 2019, section 3.
WU: dict[str, Any] = {"end_share": 0.5, "start_unlocked": 0.2}
PUBLISHED: list[tuple[FixedPacing, float, float]] = [
    (Linear(**WU), 0.0, 0.2),
    (Linear(**WU), 0.25, 0.6),
    (Linear(**WU), 0.75, 1.0),
    (Root(**WU), 0.25, 0.7656854249492382),
    (Quadratic(**WU), 0.25, 0.4),
    (Polynomial(**WU, power=3.0), 0.25, 0.3),
    (Exponential(**WU), 0.25, 0.2053542807394279),
    (Exponential(**WU), 0.5, 1.0),
    (Logarithmic(**WU), 0.0, 0.2),
    (Logarithmic(**WU), 0.25, 0.9445554892142018),
    (Step(**WU), 0.49, 0.2),
    (Step(**WU), 0.5, 1.0),
    (Linear(end_share=1.6, start_unlocked=0.1), 1.0, 0.6625),
    (FixedExponential(start_unlocked=0.04, increase=1.9, step_share=0.1), 0.05, 0.04),
    (FixedExponential(start_unlocked=0.04, increase=1.9, step_share=0.1), 0.35, 0.27436),
    (FixedExponential(start_unlocked=0.04, increase=1.9, step_share=0.1), 0.65, 1.0),
    (VariedExponential(start_unlocked=0.1, increase=2.0, switch_shares=(0.1, 0.3, 0.4)), 0.1, 0.1),
    (VariedExponential(start_unlocked=0.1, increase=2.0, switch_shares=(0.1, 0.3, 0.4)), 0.2, 0.2),
    (VariedExponential(start_unlocked=0.1, increase=2.0, switch_shares=(0.1, 0.3, 0.4)), 0.9, 0.8),
    (SingleStep(start_unlocked=0.3, switch_share=0.25), 0.24, 0.3),
    (SingleStep(start_unlocked=0.3, switch_share=0.25), 0.25, 1.0),
]


@pytest.mark.parametrize("kind", sorted(Pacing.kinds()))
def test_every_kind_passes_the_conformance_check(kind: str) -> None:
    check_pacing(Pacing.from_dict({"kind": kind}))


@pytest.mark.parametrize(("pacing", "progress", "fraction"), PUBLISHED)
def test_fractions_are_those_of_the_published_formulas(pacing: FixedPacing, progress: float, fraction: float) -> None:
    assert pacing.fraction(progress) == pytest.approx(fraction, abs=1e-12)


def stages(pacing: Pacing, num_stages: int = 10) -> list[int]:
    """The stage after each of 100 images of a budget of 100, with 10 clusters."""
    return [pacing.decide(Observation(n, 100, 10, num_stages, stage=1, stage_start_images=0)).stage for n in range(101)]


def test_linear_pacing_gives_stages_of_equal_length_that_end_with_the_share_that_starts_the_next() -> None:
    assert stages(Linear(end_share=0.5)) == [1] + [min(-(-n // 5), 10) for n in range(1, 101)]


def test_the_last_cluster_is_unlocked_before_the_fraction_is_one_and_a_boundary_belongs_to_the_stage_before_it() -> (
    None
):
    def stage(images: int, num_stages: int) -> int:
        seen = Observation(images, 100_000, 5, num_stages, stage=1, stage_start_images=0)
        return Linear(end_share=0.5).decide(seen).stage

    for num_stages in (5, 6):
        assert [stage(images, num_stages) for images in (10_000, 10_001, 40_000, 40_001, 49_999)] == [1, 2, 4, 5, 5]
    assert (stage(50_000, 5), stage(50_000, 6)) == (5, 6)


# The smallest and largest numbers that are let through, and the most that they can be asked.
EXTREME = [
    *(
        cls(end_share=share)
        for cls in (Linear, Root, Quadratic, Exponential, Logarithmic, Step)
        for share in (5e-324, 1e308)
    ),
    Polynomial(end_share=5e-324, power=1e308),
    FixedExponential(start_unlocked=5e-324, increase=1e308, step_share=5e-324),
    FixedExponential(increase=math.nextafter(1.0, 2.0)),
    VariedExponential(start_unlocked=1e-300, increase=1e200),
    SingleStep(switch_share=0.0),
    Plateau(patience_share=5e-324, smoothing_share=5e-324, max_stage_share=5e-324, end_share=5e-324),
]


@pytest.mark.parametrize("total_images", [1, 2, 10**12])
@pytest.mark.parametrize("pacing", EXTREME, ids=repr)
def test_every_value_that_is_let_through_has_a_stage_for_every_budget(pacing: Pacing, total_images: int) -> None:
    stages = [
        pacing.decide(Observation(images, total_images, 5, 6, stage=1, stage_start_images=0)).stage
        for images in (0, 1, total_images // 2, total_images, 2 * total_images)
    ]
    assert all(1 <= stage <= 6 for stage in stages)


@pytest.mark.parametrize("gate", ["raw", "smoothed", "bank"])
def test_a_plateau_starts_in_its_first_stage_however_small_the_budget(gate: Literal["raw", "smoothed", "bank"]) -> None:
    for total_images in (1, 2, 4):
        seen = Observation(0, total_images, 5, 6, stage=1, stage_start_images=0)
        assert Plateau(gate=gate).decide(seen).stage == 1


def test_the_ordinary_last_stage_begins_when_the_fraction_reaches_one() -> None:
    with_ordinary_end = stages(Linear(end_share=0.5), num_stages=11)
    assert with_ordinary_end.index(10) == 46
    assert with_ordinary_end.index(11) == 50


def test_multiples_that_floating_point_misses_still_fall_on_their_step() -> None:
    # 0.3 / 0.1 is 2.9999999999999996.
    assert FixedExponential(start_unlocked=0.1, increase=2.0, step_share=0.1).fraction(0.3) == pytest.approx(0.8)


def test_a_decision_names_its_reason_and_staying_has_none() -> None:
    seen = Observation(60, 100, 10, 10, stage=9, stage_start_images=40)
    advance = Linear(end_share=0.5).decide(seen)
    assert (advance.stage, advance.reason, advance.advances) == (10, Reason.SCHEDULE, True)
    stay = Linear(end_share=1.0).decide(Observation(60, 100, 10, 10, stage=6, stage_start_images=50))
    assert (stay.stage, stay.reason, stay.advances) == (6, None, False)


def test_a_pacing_of_ones_own_is_one_method_and_found_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pacing, "_members", dict(Pacing.kinds()))

    @dataclass(frozen=True, kw_only=True)
    class Sine(FixedPacing):
        kind: Literal["sine"] = "sine"
        end_share: float = 0.5

        def fraction(self, progress: float) -> float:
            return math.sin(0.5 * math.pi * min(progress / self.end_share, 1.0))

    assert Pacing.from_dict({"kind": "sine", "end_share": 0.3}) == Sine(end_share=0.3)
    check_pacing(Sine(end_share=0.3))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("linear", {"end_share": 0.0}, "end_share must be positive, not 0.0"),
        ("root", {"start_unlocked": 1.5}, r"start_unlocked must be in \[0, 1\], not 1.5"),
        ("polynomial", {"power": -1.0}, "power must be positive, not -1.0"),
        ("fixed_exponential", {"increase": 1.0}, "increase must be above 1, not 1.0"),
        ("fixed_exponential", {"start_unlocked": 0.0}, r"start_unlocked must be in \(0, 1\], not 0.0"),
        ("varied_exponential", {"switch_shares": (0.2, 0.1)}, "switch_shares must be shares of the budget in rising"),
        ("single_step", {"switch_share": -0.1}, "switch_share must be at least 0, not -0.1"),
        ("plateau", {"gate": "median"}, "gate must be one of raw, smoothed, bank, not 'median'"),
        ("plateau", {"patience_share": 0.0}, r"patience_share must be in \(0, 1\], not 0.0"),
        ("plateau", {"delta": -0.1}, r"delta must be in \[0, 1\), not -0.1"),
        ("plateau", {"window_steps": 0}, "window_steps must be at least 1, not 0"),
        ("plateau", {"max_stage_share": 2.0}, r"max_stage_share must be in \(0, 1\], not 2.0"),
        ("plateau", {"end_share": float("nan")}, r"end_share must be in \(0, 1\], not nan"),
    ],
)
def test_values_without_meaning_are_errors_that_say_what_is_allowed(
    kind: str, fields: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Pacing.from_dict({"kind": kind, **fields})
