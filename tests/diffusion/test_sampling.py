import pytest
import torch
from support.conditions import shown
from torch import Tensor

from curriculum_search.conditions import ClassCondition, Condition, Unconditional, class_indices
from curriculum_search.diffusion import guided


def by_label(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    return class_indices(condition, x, null=5)[:, None, None, None] + 10 * x + time[:, None, None, None]


def test_guidance_extrapolates_from_the_null_label() -> None:
    x, time, condition = torch.randn(2, 1, 2, 2), torch.tensor([0.5, 2.0]), ClassCondition.of(torch.tensor([3, 1]))
    found = guided(by_label, scale=4.0)(x, time, condition)
    # 5 + 4 (3 - 5) = -3 and 5 + 4 (1 - 5) = -11
    expected = torch.tensor([-3.0, -11.0])[:, None, None, None] + 10 * x + time[:, None, None, None]
    torch.testing.assert_close(found, expected)


def test_guidance_is_one_call_on_a_doubled_batch() -> None:
    batches = []

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        batches.append((len(x), len(time), shown(condition)))
        return x

    condition = ClassCondition.of(torch.tensor([0, 1, 2]))
    guided(network, scale=2.0)(torch.zeros(3, 1, 2, 2), torch.zeros(3), condition)
    assert batches == [(6, 6, [0, 1, 2, None, None, None])]


def test_learned_variances_are_those_of_the_condition() -> None:
    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return class_indices(condition, x, null=0)[:, None, None, None].float().expand(-1, 2, 2, 2)

    condition = ClassCondition.of(torch.tensor([1]))
    out = guided(network, scale=3.0)(torch.zeros(1, 1, 2, 2), torch.zeros(1), condition)
    assert out[0, :, 0, 0].tolist() == [3.0, 1.0]


def test_every_channel_of_a_latent_is_guided() -> None:
    """Where DiT's and SiT's forward_with_cfg guide the first three of four."""

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        label = class_indices(condition, x, null=0)[:, None, None, None].float()
        return torch.cat([label * (1 + torch.arange(4.0))[:, None, None], x], dim=1)

    x = torch.randn(1, 4, 1, 1)
    out = guided(network, scale=4.0)(x, torch.zeros(1), ClassCondition.of(torch.tensor([1])))
    assert out[0, :4, 0, 0].tolist() == [4.0, 8.0, 12.0, 16.0]
    assert torch.equal(out[:, 4:], x)


def test_a_scale_of_one_is_the_network_itself() -> None:
    assert guided(by_label, scale=1.0) is by_label


def test_guidance_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="guidance_scale"):
        guided(by_label, scale=2.0)(torch.zeros(1, 1, 2, 2), torch.zeros(1), Unconditional())
