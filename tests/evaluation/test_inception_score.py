"""The Inception Score, against torch-fidelity and cases that can be worked out."""

import pytest
import torch
from support.arrays import Numbers

from curriculum_search.evaluation.inception_score import inception_score


@pytest.mark.parametrize(
    ("num_splits", "expected"),
    [(4, (2.304043630937519, 0.1364954354986744)), (7, (2.171108689228178, 0.03416854932817915))],
)
def test_agrees_with_torch_fidelity_also_where_samples_are_no_multiple_of_splits(
    numbers: Numbers, num_splits: int, expected: tuple[float, float]
) -> None:
    probabilities = torch.from_numpy(4 * numbers(60, 7)).softmax(1)
    # isc_features_to_metric of torch-fidelity 0.4.0, not shuffled.
    assert inception_score(probabilities, num_splits=num_splits) == pytest.approx(expected)


def test_certain_and_balanced_classes_score_their_number_even_with_zero_probabilities() -> None:
    assert inception_score(torch.eye(5).repeat(20, 1), num_splits=2) == pytest.approx((5.0, 0.0), abs=1e-12)


def test_samples_that_look_alike_score_one() -> None:
    assert inception_score(torch.tensor([[0.2, 0.3, 0.5]]).repeat(20, 1))[0] == pytest.approx(1.0)


def test_two_kinds_of_certainty_in_three_to_one_score_the_exponential_of_their_entropy() -> None:
    probabilities = torch.eye(2)[[0, 0, 0, 1] * 10]
    expected = torch.tensor([0.75, 0.25]).double()
    entropy = -(expected * expected.log()).sum()
    assert inception_score(probabilities, num_splits=1) == pytest.approx((float(entropy.exp()), 0.0))
