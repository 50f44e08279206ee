import dataclasses
import hashlib
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import torch

from curriculum_search.data import Digits, MemoryImages, to_float
from curriculum_search.evaluation import Classifier, DinoV2, EfficientNetLite0, Inception, Pixels, Sources, TorchScript
from curriculum_search.evaluation.cache import download_once, file_sha256

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture
def sources(digits, cache_dir):
    return Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=cache_dir)


@pytest.fixture
def images(digits):
    return digits.read(np.arange(40))[0]


def test_the_classifier_tells_classes_that_it_was_not_shown(sources, digits, classifier):
    features = classifier.load(sources)
    held_out = np.arange(9, len(digits), 10)
    images, labels = digits.read(held_out)
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(images)
        assert torch.equal(features(images), rows)
    assert rows.shape == (len(held_out), features.dimension) == (len(held_out), 16)
    assert (probabilities.argmax(1) == labels).double().mean() > 0.7
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(held_out)))
    assert "right on held-out images" in features.words


def test_the_classifier_is_the_same_whatever_the_threads_and_the_random_state(sources, tmp_path):
    small = Classifier(num_features=8, training_images=512)
    checksums = set()
    for threads, folder in ((1, "a"), (2, "b")):
        torch.manual_seed(threads)
        torch.set_num_threads(threads)
        before = torch.random.get_rng_state()
        checksums.add(small.load(dataclasses.replace(sources, cache_dir=tmp_path / folder)).checksum)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), before)
    torch.set_num_threads(1)
    assert len(checksums) == 1
    other = dataclasses.replace(small, seed=1).load(dataclasses.replace(sources, cache_dir=tmp_path / "a"))
    assert other.checksum not in checksums


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_the_classifier_learns_also_where_gradients_are_off(sources, tmp_path, off):
    small = Classifier(num_features=8, training_images=256)
    with off():
        first = small.load(dataclasses.replace(sources, cache_dir=tmp_path / "off")).checksum
    assert first == small.load(dataclasses.replace(sources, cache_dir=tmp_path / "on")).checksum


def test_the_classifier_is_trained_once(sources, tmp_path, monkeypatch):
    small, there = Classifier(num_features=8, training_images=256), dataclasses.replace(sources, cache_dir=tmp_path)
    first = small.load(there).checksum
    monkeypatch.setattr(Classifier, "_train", lambda *_: pytest.fail("trained again"))
    assert small.load(there).checksum == first


def test_the_classifier_needs_labels(sources):
    unlabelled = Digits(use_labels=False).load()
    with pytest.raises(ValueError, match="extractor classifier learns from labels, and digits 8x8 has none"):
        Classifier().check(unlabelled, unlabelled)


def test_pixels_are_principal_components_as_numpy_finds_them(sources, digits, images):
    values = to_float(digits.read(np.arange(len(digits)))[0]).flatten(1).double().numpy()
    centred = values - values.mean(0)
    spectrum = np.linalg.svd(centred, compute_uv=False)
    rows = Pixels(num_components=20).load(sources)(digits.read(np.arange(len(digits)))[0]).double().numpy()
    np.testing.assert_allclose(np.sqrt((rows**2).sum(0)), spectrum[:20], rtol=1e-4)
    np.testing.assert_allclose(np.cov(rows.T), np.diag(spectrum[:20] ** 2) / (len(digits) - 1), atol=1e-3)
    assert Pixels(num_components=20).label == "pca20"


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 16, 16)])
def test_pixels_of_colour_images_and_of_large_ones_averaged_down(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (80, *shape), np.uint8)
    large = MemoryImages("large", pixels, None)
    sources = Sources(train=large, reference=large, device=torch.device("cpu"), cache_dir=tmp_path)
    assert Pixels(num_components=10).load(sources)(torch.from_numpy(pixels)).shape == (80, 10)


def test_more_components_than_pixels_are_refused(digits):
    with pytest.raises(ValueError, match="at most the 64 values of an image, not 65"):
        Pixels(num_components=65).check(digits, digits)


def test_efficientnet_has_1280_features_of_grey_and_colour_and_knows_a_daisy(sources, images):
    from sklearn.datasets import load_sample_image

    features = EfficientNetLite0(resolution=224).load(sources)
    flower = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None, :, :, 106:533]
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(flower)
        grey = EfficientNetLite0().load(sources)(images[:4])
    assert rows.shape == (1, 1280)
    assert grey.shape == (4, 1280)
    assert probabilities.argmax() == 985  # daisy among ImageNet's classes
    assert EfficientNetLite0().label == "efficientnet_lite0_64px"
    assert EfficientNetLite0(resolution=224).label == "efficientnet_lite0"


def test_a_missing_package_is_named_with_the_extra_that_has_it(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "efficientnet_lite_pytorch")
    with pytest.raises(
        ValueError, match=r"needs efficientnet_lite_pytorch: pip install 'curriculum-search\[features\]'"
    ):
        EfficientNetLite0().check(digits, digits)


class Halves(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1)[:, ::2]


def saved(module: torch.nn.Module, path) -> str:
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 1, 8, 8, dtype=torch.uint8)), str(path))
    return str(path)


def test_a_torchscript_module_of_ones_own(sources, images, digits, tmp_path):
    extractor = TorchScript(path=saved(Halves(), tmp_path / "halves.pt"), name="halves")
    assert extractor.dimension(digits) == 32
    features = extractor.load(sources)
    assert torch.equal(features(images), images.float().flatten(1)[:, ::2])
    assert features.checksum == file_sha256(tmp_path / "halves.pt")
    assert extractor.label == "halves"


def test_a_torchscript_file_that_does_not_fit_is_named(digits, tmp_path):
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
def test_a_module_of_ones_own_cannot_be_called_inception(name):
    with pytest.raises(ValueError, match="name of extractor torchscript must be"):
        TorchScript(path="x.pt", name=name)


@pytest.mark.parametrize("extractor", [Inception, DinoV2])
def test_weights_that_are_missing_or_not_the_published_ones_are_named(extractor, digits, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        extractor(path=str(tmp_path / "missing.pth")).check(digits, digits)
    (tmp_path / "other.pth").write_text("other")
    with pytest.raises(
        ValueError, match="has SHA-256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    ):
        extractor(path=str(tmp_path / "other.pth")).check(digits, digits)


@pytest.fixture
def server():
    """A web server on this machine that serves the six bytes ``weight`` under every address."""

    class Handler(BaseHTTPRequestHandler):
        requests = 0

        def do_GET(self):
            Handler.requests += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"weight")

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/weights.pth", Handler
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_download_happens_once_and_is_checked(server, tmp_path):
    address, handler = server
    checksum = "9c693dc8f0e1f9e2d2a7a2ff4a1ef95bd25dc1fb60df4ecf2d8b7f0ad4ec4cd1"
    with pytest.raises(ValueError, match=f"has SHA-256 .*, not {checksum}; name the file"):
        download_once(address, checksum, tmp_path, "name the file")
    assert not (tmp_path / "weights.pth").exists()
    right = hashlib.sha256(b"weight").hexdigest()
    for _ in range(2):
        assert download_once(address, right, tmp_path, "name the file").read_bytes() == b"weight"
    assert handler.requests == 2


def test_without_a_network_the_error_says_what_to_do(sources, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    for extractor in (Inception(), DinoV2()):
        with pytest.raises(ValueError, match=r"could not be downloaded \(no route to host\); get the file .* `path`"):
            extractor.load(dataclasses.replace(sources, cache_dir=tmp_path))
