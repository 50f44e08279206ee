"""The average of the weights: its half-life, its beginning, and that it starts again."""

import pytest
import torch
from torch import nn

from curriculum_search.training.ema import Ema


def network(value: float) -> nn.Module:
    """One weight and one running mean, both of `value`."""
    norm = nn.BatchNorm1d(1)
    nn.init.constant_(norm.weight, value)
    assert norm.running_mean is not None
    norm.running_mean.fill_(value)
    return norm


def weight(ema: Ema) -> float:
    return float(ema.network.weight)  # type: ignore[arg-type]


def test_after_its_half_life_an_old_weight_counts_one_half() -> None:
    ema = Ema(network(0.0), halflife_images=640, rampup_share=1.0)
    trained = network(1.0)
    for images in range(10_016, 10_016 + 640, 16):
        ema.update(trained, images_seen=images, batch_size=16)
    assert weight(ema) == pytest.approx(0.5, rel=1e-5)


def test_at_the_beginning_the_half_life_is_a_share_of_the_images_seen() -> None:
    ema = Ema(network(0.0), halflife_images=10**9, rampup_share=0.5)
    ema.update(network(1.0), images_seen=32, batch_size=16)  # a half-life of 16 images
    assert weight(ema) == pytest.approx(0.5)


def test_buffers_are_copied_not_averaged() -> None:
    ema = Ema(network(0.0), halflife_images=10**9, rampup_share=1.0)
    ema.update(network(1.0), images_seen=10**9, batch_size=16)
    assert weight(ema) < 0.01
    assert float(ema.network.running_mean) == 1.0  # type: ignore[arg-type]


def test_a_reset_starts_again_from_the_weights_and_the_trained_network_stays_its_own() -> None:
    trained = network(1.0)
    ema = Ema(network(0.0), halflife_images=640, rampup_share=1.0)
    ema.reset(trained)
    assert weight(ema) == 1.0
    with torch.no_grad():
        next(trained.parameters()).fill_(5.0)
    assert weight(ema) == 1.0
    assert not ema.network.training
    assert not any(p.requires_grad for p in ema.network.parameters())


def test_buffers_that_a_module_replaces_and_another_network_are_followed() -> None:
    trained = network(0.0)
    ema = Ema(trained, halflife_images=640, rampup_share=1.0)
    trained.running_mean = torch.full((1,), 3.0)
    ema.update(trained, images_seen=16, batch_size=16)
    assert float(ema.network.running_mean) == 3.0  # type: ignore[arg-type]
    ema.update(network(7.0), images_seen=16, batch_size=1_600)
    assert weight(ema) == pytest.approx(7.0)
    assert float(ema.network.running_mean) == 7.0  # type: ignore[arg-type]
