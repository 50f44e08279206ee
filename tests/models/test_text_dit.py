"""DiT with a pooled caption: what it sees, and where it begins."""

import numpy as np
import pytest
import torch
from support.captioned import captions_of_digits, save_bert
from support.conditions import of_classes
from torch import nn

from curriculum_search.conditions import Captions, Unconditional
from curriculum_search.models import TextDiT
from curriculum_search.text import SentenceEncoder

TINY = TextDiT(patch_size=4, hidden_size=16, depth=1, num_heads=2)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Captions:
    folder = tmp_path_factory.mktemp("text_dit")
    return captions_of_digits(SentenceEncoder(path=save_bert(folder / "bert")), folder)


def built(captions: Captions) -> nn.Module:
    torch.manual_seed(0)
    return TINY.build(channels=1, out_channels=1, resolution=8, conditions=captions)


def test_it_begins_at_zero_and_sees_the_caption_once_it_is_trained(captions: Captions) -> None:
    module = built(captions)
    x, time, condition = torch.randn(3, 1, 8, 8), torch.rand(3), captions.of(np.arange(3))
    assert not module(x, time, condition).any()
    for parameter in module.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    null = module(x, time, Unconditional())
    assert torch.equal(module(x, time, condition.hide(torch.tensor(True))), null)
    assert not torch.allclose(module(x, time, condition), null, atol=1e-3)
    module(x, time, condition).square().sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is None} == {"pos_embed"}


def test_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="model kind text_dit is conditioned on captions, and the data have 3 classes"):
        TINY.build(channels=1, out_channels=1, resolution=8, conditions=of_classes(3))
