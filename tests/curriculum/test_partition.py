import itertools
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum_search.curriculum import (
    GivenPartition,
    LogSnrPartition,
    MeasuredPartition,
    Partition,
    QuantilePartition,
    UniformPartition,
)
from curriculum_search.curriculum.partition import k_medians
from curriculum_search.diffusion import DDPM, EDM, Beta, Density, Flow, Histogram, Process, Uniform
from curriculum_search.testing import check_partition

Schedule = Literal["linear", "cosine"]

# Right edges t (inclusive) that the project's notes on the method give, for T = 1000.
PUBLISHED: dict[tuple[Schedule, int], list[int]] = {
    ("linear", 5): [152, 392, 622, 821, 999],
    ("linear", 10): [44, 127, 240, 366, 489, 606, 713, 814, 909, 999],
    ("linear", 20): [13, 38, 73, 118, 170, 229, 290, 354, 417, 479, 540, 599, 655, 708, 760, 811, 860, 907, 953, 999],
    ("cosine", 10): [44, 123, 232, 367, 516, 663, 792, 895, 964, 999],
}


def edges_of(partition: Partition, process: Process, num_clusters: int, density: Density | None = None) -> np.ndarray:
    return partition.edges(process, (density or Uniform()).piecewise(process), num_clusters)


def deviation(values: np.ndarray, ends: np.ndarray) -> float:
    runs = np.split(values, ends[1:-1])
    return sum(float(np.abs(run - np.median(run)).sum()) for run in runs)


@pytest.mark.parametrize("kind", sorted(Partition.kinds()))
def test_every_kind_passes_the_conformance_check(kind: str, difficulty_path: str) -> None:
    fields: dict[str, Any] = {"measured": {"path": difficulty_path}, "given": {"all_edges": [0.0, 0.25, 1.0]}}
    check_partition(Partition.from_dict({"kind": kind, **fields.get(kind, {})}))


def test_given_edges_are_those_of_so_many_clusters() -> None:
    given = GivenPartition(all_edges=(0.0, 0.1, 0.5, 1.0))
    assert edges_of(given, Flow(), 3).tolist() == [0.0, 0.1, 0.5, 1.0]
    edges = edges_of(LogSnrPartition(), DDPM(), 20)
    assert edges_of(GivenPartition(all_edges=tuple(edges.tolist())), DDPM(), 20).tolist() == edges.tolist()
    with pytest.raises(ValueError, match=r"num_clusters must be 3, as partition\.all_edges has them, not 20"):
        edges_of(given, Flow(), 20)
    for wrong in ((0.0,), (0.0, 0.5), (0.0, 0.5, 0.5, 1.0)):
        with pytest.raises(ValueError, match="all_edges must be strictly increasing from 0 to 1"):
            GivenPartition(all_edges=wrong)


@pytest.mark.parametrize(("schedule", "num_clusters"), PUBLISHED)
def test_log_snr_edges_are_the_known_ones_to_five_timesteps_and_cost_no_more(
    schedule: Schedule, num_clusters: int
) -> None:
    process = DDPM(schedule=schedule)
    known = np.array(PUBLISHED[schedule, num_clusters])
    edges = edges_of(LogSnrPartition(), process, num_clusters)
    right = np.rint(edges[1:] * 1000).astype(int) - 1
    assert np.abs(right - known).max() <= 5
    log_snr = process.log_snr((np.arange(1000) + 0.5) / 1000)
    ours, theirs = (deviation(log_snr, np.append(0, ends + 1)) for ends in (right, known))
    assert theirs * (1 - 1e-3) < ours <= theirs


def test_of_the_snr_itself_the_easiest_cluster_is_three_quarters_of_the_timesteps() -> None:
    snr = np.exp(DDPM().log_snr((np.arange(1000) + 0.5) / 1000))
    assert abs(k_medians(snr, 20)[-2] - 260) <= 5


def test_edm_quantile_edges_are_the_published_sigmas() -> None:
    process = EDM()
    expected = [0.0647, 0.1097, 0.1605, 0.2222, 0.3012, 0.4082, 0.5651, 0.8269, 1.4019]
    for partition in (QuantilePartition(), UniformPartition()):
        sigma = process.level(edges_of(partition, process, 10)[1:-1])
        np.testing.assert_allclose(sigma, expected, atol=5e-5)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=9).map(sorted),
    falling=st.booleans(),
    data=st.data(),
)
def test_no_split_is_better_than_the_one_found(values: list[float], falling: bool, data: st.DataObject) -> None:
    points = np.array(values[::-1] if falling else values)
    n = len(points)
    num_clusters = data.draw(st.integers(1, n))
    min_size = data.draw(st.integers(1, n // num_clusters))
    max_size = data.draw(st.integers(-(-n // num_clusters), n))
    ends = k_medians(points, num_clusters, min_size, max_size)
    sizes = np.diff(ends)
    assert ends[0] == 0
    assert ends[-1] == n
    assert sizes.min() >= min_size
    assert sizes.max() <= max_size
    splits = (np.array([0, *inner, n]) for inner in itertools.combinations(range(1, n), num_clusters - 1))
    allowed = [s for s in splits if np.diff(s).min() >= min_size and np.diff(s).max() <= max_size]
    assert deviation(points, ends) == pytest.approx(min(deviation(points, s) for s in allowed), abs=1e-9)


def test_log_snr_clusters_keep_their_bounds() -> None:
    bounded = LogSnrPartition(min_cluster_share=0.04, max_cluster_share=0.06)
    sizes = np.diff(edges_of(bounded, DDPM(), 20))
    assert sizes.min() >= 0.04 - 1e-12
    assert sizes.max() <= 0.06 + 1e-12


def test_bounds_that_no_partition_keeps_are_an_error_that_names_them() -> None:
    with pytest.raises(ValueError, match=r"20 clusters cannot cover 1000 levels with min_cluster_share 0.06"):
        edges_of(LogSnrPartition(min_cluster_share=0.06), DDPM(), 20)


def test_flow_clusters_mirror_because_its_log_snr_does() -> None:
    edges = edges_of(LogSnrPartition(), Flow(), 2)
    assert edges[1] == pytest.approx(0.5, abs=0.002)


def test_edges_lie_between_timesteps_so_that_each_belongs_to_one_cluster() -> None:
    edges = edges_of(UniformPartition(), DDPM(schedule="cosine", num_timesteps=10), 3)
    np.testing.assert_allclose(edges, [0.0, 0.3, 0.7, 1.0])


def test_every_timestep_can_be_a_cluster_whatever_the_density() -> None:
    steep = Beta(a=0.2, b=8.0)
    edges = edges_of(QuantilePartition(), DDPM(schedule="cosine", num_timesteps=10), 10, steep)
    np.testing.assert_allclose(edges, np.arange(11) / 10)


def test_more_clusters_than_timesteps_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"num_clusters must be in \[1, 10\] \(the timesteps\), not 11"):
        edges_of(UniformPartition(), DDPM(schedule="cosine", num_timesteps=10), 11)


def test_quantile_clusters_have_equal_mass() -> None:
    density = Beta(a=2.0, b=5.0).piecewise(Flow())
    masses = np.diff(density.cdf_at(QuantilePartition().edges(Flow(), density, 7)))
    np.testing.assert_allclose(masses, 1 / 7)


def test_measured_clusters_have_equal_difficulty(difficulty_path: str) -> None:
    # Three times as hard below 1/2 as above: normalised 1.5 and 0.5, so thirds of the total lie at 2/9, 4/9 and 1.
    edges = edges_of(MeasuredPartition(path=difficulty_path, curve="entropy"), Flow(), 3)
    np.testing.assert_allclose(edges, [0.0, 2 / 9, 4 / 9, 1.0])


@settings(max_examples=60, deadline=None)
@given(
    num_clusters=st.integers(1, 40),
    masses=st.lists(st.floats(0.01, 10), min_size=1, max_size=8),
    process=st.sampled_from([DDPM(num_timesteps=40), EDM(), Flow()]),
    partition=st.sampled_from([UniformPartition(), QuantilePartition()]),
)
def test_edges_increase_and_span_the_unit_interval(
    num_clusters: int, masses: list[float], process: Process, partition: Partition
) -> None:
    bins = tuple((np.arange(len(masses) + 1) / len(masses)).tolist())
    edges = edges_of(partition, process, num_clusters, Histogram(edges=bins, mass=tuple(masses)))
    assert len(edges) == num_clusters + 1
    assert edges[0] == 0
    assert edges[-1] == 1
    assert np.all(np.diff(edges) > 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_cluster_share": -0.1}, r"min_cluster_share must be in \[0, 1\), not -0.1"),
        ({"max_cluster_share": 1.5}, r"max_cluster_share must be in \(0, 1\], not 1.5"),
        ({"min_cluster_share": 0.2, "max_cluster_share": 0.1}, r"min_cluster_share must be at most"),
    ],
)
def test_impossible_bounds_are_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LogSnrPartition(**fields)
