import numpy as np
import pytest

from curriculum_search.data import MemoryImages
from curriculum_search.models.encoders import PIXELS, Encoder


def test_every_kind_is_registered() -> None:
    assert {"pixels", "vae"} <= set(Encoder.kinds())


def test_an_encoder_comes_back_from_its_own_configuration() -> None:
    for fields in ({"kind": "pixels"}, {"kind": "vae", "path": "vae", "scale": [0.5, 2.0]}):
        encoder = Encoder.from_dict(fields)
        assert Encoder.from_dict(encoder.to_dict()) == encoder
    with pytest.raises(ValueError, match="kind 'vq' is not one of"):
        Encoder.from_dict({"kind": "vq"})


def test_what_has_a_shape_passes_the_check_of_an_encoder_that_needs_no_files() -> None:
    PIXELS.check(MemoryImages("flat", np.zeros((2, 3, 4, 4), np.uint8), None))
