"""Networks of the user's own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import Sources, TorchScript
from curriculum_search.evaluation.cache import file_sha256

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


class Halves(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1)[:, ::2]


def saved(module: torch.nn.Module, path: Path) -> str:
    traced = torch.jit.trace(module, torch.zeros(2, 1, 8, 8, dtype=torch.uint8))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(path))
    return str(path)


def test_a_torchscript_module_of_ones_own(
    sources: Sources, images: Tensor, digits: MemoryImages, tmp_path: Path
) -> None:
    extractor = TorchScript(path=saved(Halves(), tmp_path / "halves.pt"), name="halves")
    assert extractor.dimension(digits) == 32
    features = extractor.load(sources)
    assert torch.equal(features(images), images.float().flatten(1)[:, ::2])
    assert features.checksum == file_sha256(tmp_path / "halves.pt")
    assert extractor.label == "halves"


def test_a_torchscript_file_that_does_not_fit_is_named(digits: MemoryImages, tmp_path: Path) -> None:
    class NotFlat(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float()

    (tmp_path / "text.pt").write_text("no module")
    cases = {
        str(tmp_path / "missing.pt"): (FileNotFoundError, "missing.pt does not exist"),
        str(tmp_path / "text.pt"): (ValueError, "cannot be run on images"),
        saved(NotFlat(), tmp_path / "flat.pt"): (ValueError, r"must give features \[B, d\], not \(2, 1, 8, 8\)"),
    }
    for path, (error, message) in cases.items():
        with pytest.raises(error, match=message):
            TorchScript(path=path, name="own").check(digits, digits)


@pytest.mark.parametrize("name", ["inception", "inception_like", "has space", ""])
def test_a_module_of_ones_own_cannot_be_called_inception(name: str) -> None:
    with pytest.raises(ValueError, match="name of extractor torchscript must be"):
        TorchScript(path="x.pt", name=name)
