import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from curriculum_search.diffusion import Flow, Histogram, PiecewiseDensity, Uniform


@st.composite
def densities(draw: st.DrawFn) -> PiecewiseDensity:
    """Histograms with bins as narrow as 1e-6 and with bins of density zero."""
    inner = draw(st.lists(st.floats(1e-6, 1 - 1e-6), max_size=6, unique_by=lambda x: round(x, 6)))
    masses = draw(st.lists(st.sampled_from([0.0, 1e-3, 0.3, 1.0]), min_size=len(inner) + 1, max_size=len(inner) + 1))
    masses[draw(st.integers(0, len(inner)))] = 1.0
    return PiecewiseDensity.from_masses([0.0, *sorted(inner), 1.0], masses)


@st.composite
def unions(draw: st.DrawFn) -> list[tuple[float, float]]:
    ends = sorted(draw(st.lists(st.floats(0, 1), min_size=4, max_size=8, unique_by=lambda x: round(x, 5))))
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    return draw(st.permutations(pairs))


def inside(q: np.ndarray, intervals: list[tuple[float, float]]) -> np.ndarray:
    return np.asarray(np.any([(q >= low) & (q < high) for low, high in intervals], axis=0))


def extreme_uniforms(n: int = 2000) -> torch.Tensor:
    """Uniform numbers with both ends of float32's [0, 1) among them."""
    u = torch.rand(n, generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.tensor([0.0, 1e-45, 1 - 2**-24]), u])


@settings(max_examples=60, deadline=None)
@given(densities())
def test_the_quantile_function_inverts_the_distribution_function(density: PiecewiseDensity) -> None:
    u = np.linspace(0, 1, 101)
    q = density.icdf(u)
    assert np.all(np.diff(q) >= 0)
    np.testing.assert_allclose(density.cdf_at(q), u, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(densities())
def test_the_density_integrates_to_its_distribution_function(density: PiecewiseDensity) -> None:
    integral = np.cumsum(density.pdf_at(density.knots[:-1]) * np.diff(density.knots))
    np.testing.assert_allclose(integral, density.cdf[1:], atol=1e-12)
    np.testing.assert_array_equal(density.pdf_at(np.array([-0.1, 1.1])), 0)


@settings(max_examples=80, deadline=None)
@given(densities(), unions())
def test_a_restricted_density_is_the_base_density_inside_and_a_draw_never_leaves_the_union(
    density: PiecewiseDensity, union: list[tuple[float, float]]
) -> None:
    mass = sum(float(density.cdf_at(high) - density.cdf_at(low)) for low, high in union)
    if mass <= 0:
        with pytest.raises(ValueError, match="no mass"):
            density.restrict(union)
        return
    inner = density.restrict(union)
    for low, high in union:
        expected = (density.cdf_at(high) - density.cdf_at(low)) / mass
        np.testing.assert_allclose(inner.cdf_at(high) - inner.cdf_at(low), expected, atol=1e-9)
    if mass > 1e-6:
        drawn = inner.table("cpu").draw(extreme_uniforms()).double().numpy()
        assert np.all(inside(drawn, union))
        assert np.all(density.pdf_at(drawn) > 0)


@settings(max_examples=60, deadline=None)
@given(unions(), st.data())
def test_shares_set_the_mass_of_each_interval_and_keep_the_shape_inside(
    union: list[tuple[float, float]], data: st.DataObject
) -> None:
    base = PiecewiseDensity.from_masses([0, 0.2, 0.5, 1], [0.6, 0.1, 0.3])
    shares = np.array(data.draw(st.lists(st.floats(0, 5), min_size=len(union), max_size=len(union))))
    if not shares.sum() > 1e-3:
        shares = np.ones(len(union))
    inner = base.restrict(union, shares)
    for (low, high), share in zip(union, shares / shares.sum(), strict=True):
        np.testing.assert_allclose(inner.cdf_at(high) - inner.cdf_at(low), share, atol=1e-9)
        at = low + (high - low) * np.array([0.1, 0.35, 0.8])
        own = base.cdf_at(high) - base.cdf_at(low)
        np.testing.assert_allclose(
            inner.cdf_at(at) - inner.cdf_at(low), share * (base.cdf_at(at) - base.cdf_at(low)) / own, atol=1e-9
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(densities(), min_size=1, max_size=4), st.data())
def test_a_mixture_has_the_average_of_the_distribution_functions(
    parts: list[PiecewiseDensity], data: st.DataObject
) -> None:
    weights = np.array(data.draw(st.lists(st.floats(0.01, 9), min_size=len(parts), max_size=len(parts))))
    q = np.linspace(0, 1, 57)
    expected = sum(w * p.cdf_at(q) for w, p in zip(weights / weights.sum(), parts, strict=True))
    np.testing.assert_allclose(PiecewiseDensity.mix(weights, parts).cdf_at(q), expected, atol=1e-12)


def test_draws_follow_the_distribution_function() -> None:
    density = PiecewiseDensity.from_masses([0, 0.1, 0.4, 0.41, 1], [0.5, 0, 0.2, 0.3])
    drawn = density.table("cpu").draw(torch.rand(20_000, generator=torch.Generator().manual_seed(1))).double().numpy()
    assert stats.kstest(drawn, density.cdf_at).pvalue > 0.01
    assert not np.any((drawn >= 0.1) & (drawn < 0.4))


def test_draws_from_the_device_table_are_the_quantile_function() -> None:
    density = Histogram(edges=(0.0, 0.01, 0.5, 0.9, 1.0), mass=(3.0, 1.0, 0.0, 2.0)).piecewise(Flow())
    u = torch.rand(500, dtype=torch.float32, generator=torch.Generator().manual_seed(2))
    drawn = density.table("cpu").draw(u)
    assert drawn.dtype == torch.float32
    np.testing.assert_allclose(drawn.numpy(), density.icdf(u.numpy()), atol=3e-7)


def test_the_whole_interval_restores_the_density() -> None:
    density = PiecewiseDensity.from_masses([0, 0.3, 1], [1, 4])
    whole = density.restrict([(0.5, 1.0), (0.0, 0.5)])
    q = np.linspace(0, 1, 33)
    np.testing.assert_allclose(whole.cdf_at(q), density.cdf_at(q), atol=1e-15)


def test_a_histogram_of_a_density_is_that_density() -> None:
    density = PiecewiseDensity.from_masses([0, 0.3, 1], [1, 4]).restrict([(0.1, 0.6)])
    histogram = Histogram.of(density)
    assert Histogram.from_dict(histogram.to_dict()) == histogram
    np.testing.assert_array_equal(histogram.piecewise(Flow()).knots, density.knots)
    np.testing.assert_allclose(histogram.piecewise(Flow()).cdf, density.cdf, atol=1e-15)


def test_a_density_cannot_be_changed_through_its_arrays() -> None:
    knots = np.array([0.0, 1.0])
    density = PiecewiseDensity(knots, np.array([0.0, 1.0]))
    knots[1] = 7
    assert density.knots[1] == 1
    with pytest.raises(ValueError, match="read-only"):
        density.cdf[0] = 1


@pytest.mark.parametrize(
    ("knots", "cdf"),
    [
        ([0, 1], [0, 0.9]),
        ([0, 0.5, 0.5, 1], [0, 0.1, 0.2, 1]),
        ([0.1, 1], [0, 1]),
        ([0, 0.5, 1], [0, 0.7, 0.6]),
        ([0], [0]),
    ],
)
def test_malformed_distribution_functions_are_refused(knots: list[float], cdf: list[float]) -> None:
    with pytest.raises(ValueError, match=r"knots|cdf"):
        PiecewiseDensity(np.array(knots, dtype=float), np.array(cdf, dtype=float))


@pytest.mark.parametrize("union", [[(0.2, 0.5), (0.4, 0.6)], [(0.5, 0.5)], [(-0.1, 0.5)], [(0.5, 1.5)], []])
def test_intervals_that_overlap_or_leave_the_unit_interval_are_refused(union: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="disjoint"):
        Uniform().piecewise(Flow()).restrict(union)


def test_mass_for_an_interval_without_any_is_refused() -> None:
    density = PiecewiseDensity.from_masses([0, 0.5, 1], [0, 1])
    with pytest.raises(ValueError, match=r"no mass in \[\[0.1, 0.2\]\]"):
        density.restrict([(0.1, 0.2), (0.6, 0.7)], shares=[1, 1])
    with pytest.raises(ValueError, match="shares must be 2 numbers"):
        density.restrict([(0.1, 0.2), (0.6, 0.7)], shares=[1])


@pytest.mark.filterwarnings("error")
def test_the_smallest_uniform_number_draws_from_a_density_whose_tail_no_float32_holds() -> None:
    density = PiecewiseDensity.from_masses([0.0, 0.5, 1.0], [1e-310, 1.0])
    deep = PiecewiseDensity.from_masses([0.0, 0.5, 1.0], [1e-44, 1.0])
    for each in (density, deep):
        q = each.table("cpu").draw(torch.tensor([0.0, 2.0**-24, 0.5]))
        assert q.isfinite().all()
        assert q[2] == 0.75
