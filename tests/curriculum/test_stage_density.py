import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum_search.curriculum import Newest, Replay
from curriculum_search.curriculum.stage_density import importance, stage_density
from curriculum_search.diffusion import PiecewiseDensity

EDGES = np.array([0.0, 0.2, 0.5, 1.0])
SLOPING = PiecewiseDensity.from_masses([0.0, 0.1, 0.5, 1.0], [0.4, 0.4, 0.2])


def test_a_stage_keeps_the_shape_of_the_base_density_inside_each_cluster() -> None:
    density = stage_density(SLOPING, EDGES, np.array([2, 0]), Replay(share=0.25), "base")
    np.testing.assert_allclose(np.diff(density.cdf_at(EDGES)), [0.75, 0.0, 0.25])
    # Cluster 0 holds masses of 0.4 below 0.1 and 0.1 above: four fifths of it lie below 0.1.
    np.testing.assert_allclose(density.cdf_at(0.1), 0.75 * 0.8)


def test_a_cluster_without_a_share_is_not_drawn() -> None:
    density = stage_density(SLOPING, EDGES, np.array([0, 1]), Newest(), "equal")
    np.testing.assert_allclose(np.diff(density.cdf_at(EDGES)), [0.0, 1.0, 0.0])


@settings(max_examples=100, deadline=None)
@given(
    inner=st.lists(st.floats(1e-3, 0.999), min_size=1, max_size=6, unique=True).map(sorted),
    masses=st.lists(st.floats(0.1, 5.0), min_size=7, max_size=7),
)
def test_every_float32_beside_a_border_gets_the_weight_of_its_own_side(inner: list[float], masses: list[float]) -> None:
    knots = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    drawn = PiecewiseDensity.from_masses(knots, masses[: len(knots) - 1])
    wanted = PiecewiseDensity.from_masses([0.0, 1.0], [1.0])
    starts, weights = importance(wanted, drawn)
    at = knots[1:-1].astype(np.float32)
    q = np.concatenate([np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(1))])
    given_weights = weights[np.searchsorted(starts, q, side="right") - 1]
    np.testing.assert_allclose(given_weights, 1.0 / drawn.pdf_at(q.astype(np.float64)), rtol=1e-6)
