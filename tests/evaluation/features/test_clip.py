"""CLIP's features and similarities are those of transformers' own model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import save_bert, save_clip, write_captioned_digits

from curriculum_search.data import CaptionedFolder, Digits, ImageSet
from curriculum_search.evaluation import CLIP, Sources
from curriculum_search.text import SentenceEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageSet:
    write_captioned_digits(folder / "images", 24)
    encoder = SentenceEncoder(path=save_bert(folder / "bert"))
    return CaptionedFolder(
        path=str(folder / "images"), text_encoder=encoder, encoded_path=str(folder / "encoded")
    ).load()


def test_similarities_are_the_logits_of_the_whole_clip_without_its_temperature(images: ImageSet, folder: Path) -> None:
    from transformers import CLIPModel

    path = save_clip(folder / "clip")
    extractor = CLIP(path=path)
    extractor.check(images, images)
    assert extractor.dimension(images) == 6
    features = extractor.load(Sources(train=images, reference=images, device=torch.device("cpu"), cache_dir=folder))
    stored, condition = images.read(np.arange(6))
    found = features.similarities(features(stored), condition)
    assert found.shape == (6, 10)

    network = CLIPModel.from_pretrained(path).eval()
    large = torch.nn.functional.interpolate(
        stored.expand(-1, 3, -1, -1) / 255, size=16, mode="bicubic", antialias=True
    ).clamp(0, 1)
    mean, sd = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = (large - mean.view(1, 3, 1, 1)) / sd.view(1, 3, 1, 1)
    ids = torch.tensor([[2, 6, 7, 11 + label, 3] for label in _labels(6)])
    with torch.no_grad():
        logits = network(input_ids=ids, pixel_values=pixels).logits_per_image / network.logit_scale.exp()
    torch.testing.assert_close(found[:, 0], logits.diagonal(), rtol=0, atol=1e-5)


def test_a_text_encoder_alone_is_refused(images: ImageSet, folder: Path) -> None:
    path = save_clip(folder / "text", text_only=True)
    with pytest.raises(ValueError, match=r"extractor clip: .* holds a clip_text_model, not a whole CLIP"):
        CLIP(path=path).check(images, images)


def _labels(count: int) -> list[int]:
    labels = Digits().load().labels
    assert labels is not None
    return [int(label) for label in labels[:count]]
