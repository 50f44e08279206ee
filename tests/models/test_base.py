import pytest

from curriculum_search.models import Model


def test_every_kind_is_registered() -> None:
    assert set(Model.kinds()) == {"dit", "pixart", "text_dit", "unet"}


@pytest.mark.parametrize("kind", sorted(Model.kinds()))
def test_every_kind_comes_back_from_its_own_configuration(kind: str) -> None:
    model = Model.from_dict({"kind": kind})
    assert type(model) is Model.kinds()[kind]
    assert Model.from_dict(model.to_dict()) == model


def test_an_unknown_kind_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="kind 'mlp' is not one of dit, pixart, text_dit, unet"):
        Model.from_dict({"kind": "mlp"})
