import pytest
import torch
from torch import Tensor

from curriculum_search.diffusion import guided


def by_label(x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None
    return labels[:, None, None, None] + 10 * x + time[:, None, None, None]


def test_guidance_extrapolates_from_the_null_label() -> None:
    x, time, labels = torch.randn(2, 1, 2, 2), torch.tensor([0.5, 2.0]), torch.tensor([3, 1])
    found = guided(by_label, null_label=5, scale=4.0)(x, time, labels)
    # 5 + 4 (3 - 5) = -3 and 5 + 4 (1 - 5) = -11
    expected = torch.tensor([-3.0, -11.0])[:, None, None, None] + 10 * x + time[:, None, None, None]
    torch.testing.assert_close(found, expected)


def test_guidance_is_one_call_on_a_doubled_batch() -> None:
    batches = []

    def network(x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        batches.append((len(x), len(time), labels.tolist()))
        return x

    guided(network, null_label=9, scale=2.0)(torch.zeros(3, 1, 2, 2), torch.zeros(3), torch.tensor([0, 1, 2]))
    assert batches == [(6, 6, [0, 1, 2, 9, 9, 9])]


def test_learned_variances_are_those_of_the_condition() -> None:
    def network(x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        return labels[:, None, None, None].float().expand(-1, 2, 2, 2)

    out = guided(network, null_label=0, scale=3.0)(torch.zeros(1, 1, 2, 2), torch.zeros(1), torch.tensor([1]))
    assert out[0, :, 0, 0].tolist() == [3.0, 1.0]


def test_a_scale_of_one_is_the_network_itself() -> None:
    assert guided(by_label, null_label=5, scale=1.0) is by_label


def test_guidance_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="guidance_scale"):
        guided(by_label, null_label=5, scale=2.0)(torch.zeros(1, 1, 2, 2), torch.zeros(1), None)
