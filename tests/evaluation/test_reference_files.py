"""Reference files that people already have, and those that would run code."""

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.arrays import Arrays
from support.arrays import save as save_arrays
from support.conditions import labels_in

from curriculum_search.evaluation.reference_files import holds_statistics, load_arrays, read_images, read_statistics

MEAN, COVARIANCE = np.arange(3.0), np.diag([1.0, 2.0, 3.0])


def edm2(path: Path, protocol: int) -> Path:
    """As EDM2's calculate_metrics.py saves it."""
    content = {
        "num_images": 50_000,
        "fid": {"mu": MEAN, "sigma": COVARIANCE},
        "fd_dinov2": {"mu": MEAN + 1, "sigma": np.asfortranarray(COVARIANCE)},
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_npz_of_edm_pytorch_fid_and_clean_fid(
    tmp_path: Path, save: Callable[..., None], dtype: type[np.floating[Any]]
) -> None:
    path = tmp_path / "stats.npz"
    save(path, mu=MEAN.astype(dtype), sigma=COVARIANCE.astype(dtype))
    assert holds_statistics(path)
    mean, covariance = read_statistics(path, "inception")
    np.testing.assert_array_equal(mean, MEAN)
    np.testing.assert_array_equal(covariance, COVARIANCE)
    assert mean.dtype == covariance.dtype == np.float64


def test_npz_of_adm_has_images_or_statistics_or_both(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    both, only = tmp_path / "both.npz", tmp_path / "only.npz"
    np.savez(both, arr_0=images, mu=MEAN, sigma=COVARIANCE, mu_s=MEAN, sigma_s=COVARIANCE)
    np.savez(only, arr_0=images)
    assert holds_statistics(both)
    assert not holds_statistics(only)
    for path in (both, only):
        found, condition = read_images(path).read(np.arange(5))
        assert labels_in(condition) is None
        np.testing.assert_array_equal(found, images.transpose(0, 3, 1, 2))
    assert read_images(both).fingerprint != read_images(only).fingerprint


@pytest.mark.parametrize("name", ["images", "image", "arr_0", "x"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_images_are_found_under_the_names_that_data_have(tmp_path: Path, name: str, layout: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)
    arrays: Arrays = {name: images if layout == "NCHW" else images.transpose(0, 2, 3, 1)}
    save_arrays(tmp_path / "ref.npz", **arrays)
    assert not holds_statistics(tmp_path / "ref.npz")
    np.testing.assert_array_equal(read_images(tmp_path / "ref.npz").read(np.arange(5))[0], images)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_pickle_of_edm2_by_extractor(tmp_path: Path, protocol: int) -> None:
    path = edm2(tmp_path / "ref.pkl", protocol)
    np.testing.assert_array_equal(read_statistics(path, "inception")[0], MEAN)
    mean, covariance = read_statistics(path, "dinov2")
    np.testing.assert_array_equal(mean, MEAN + 1)
    np.testing.assert_array_equal(covariance, COVARIANCE)
    with pytest.raises(ValueError, match=r"no statistics for extractor classifier .it has: num_images, fid, fd_dinov2"):
        read_statistics(path, "classifier")


def test_pickle_written_by_numpy_1(tmp_path: Path) -> None:
    path = edm2(tmp_path / "ref.pkl", 2)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.", b"cnumpy.core."))
    np.testing.assert_array_equal(read_statistics(path, "inception")[1], COVARIANCE)


class RunsCode:
    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_never_runs_code(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    attacks = [
        RunsCode(subprocess.check_call, ["touch", str(victim)]),
        RunsCode(eval, f"open({str(victim)!r}, 'w')"),
        RunsCode(np.load, str(victim)),
        RunsCode(getattr, "text", "upper"),
    ]
    for attack in attacks:
        path = tmp_path / "evil.pkl"
        path.write_bytes(pickle.dumps({"fid": {"mu": MEAN, "sigma": attack}}, protocol=protocol))
        with pytest.raises(ValueError, match="not allowed"):
            read_statistics(path, "inception")
    assert not victim.exists()


def test_the_allowed_constructors_take_no_foreign_classes(tmp_path: Path) -> None:
    path = tmp_path / "sub.pkl"
    reconstruct = np.array([1.0]).__reduce__()[0]
    assert callable(reconstruct)
    for attack in (RunsCode(reconstruct, np.dtype, (0,), b"b"), RunsCode(__import__("_codecs").encode, "x", "rot13")):
        path.write_bytes(pickle.dumps(attack, protocol=2))
        with pytest.raises(ValueError, match="not allowed"):
            load_arrays(path)


def test_an_array_of_objects_in_an_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, mu=np.array([RunsCode(print, "hello")], dtype=object), sigma=COVARIANCE)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_statistics(path, "inception")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mu": MEAN}, "has no sigma"),
        ({"other": MEAN}, "has no mu and no sigma"),
        ({"mu": MEAN, "sigma": np.eye(4)}, r"mu \[3\] and sigma \[4, 4\]"),
    ],
)
def test_incomplete_statistics_are_named(tmp_path: Path, content: Arrays, message: str) -> None:
    path = tmp_path / "stats.npz"
    save_arrays(path, **content)
    with pytest.raises(ValueError, match=message):
        read_statistics(path, "inception")


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    text, single, missing = tmp_path / "text.npz", tmp_path / "single.npy", tmp_path / "missing.npz"
    text.write_text("mu sigma")
    np.save(single, MEAN)
    with pytest.raises(ValueError, match=r"text\.npz is no readable \.npz"):
        holds_statistics(text)
    with pytest.raises(ValueError, match="single array"):
        holds_statistics(single)
    with pytest.raises(FileNotFoundError):
        holds_statistics(missing)
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x05nonsense")
    with pytest.raises(ValueError, match="no readable pickle"):
        read_statistics(tmp_path / "bad.pkl", "inception")


def test_images_are_needed_where_neighbours_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "stats.npz"
    np.savez(path, mu=MEAN, sigma=COVARIANCE)
    for reference in (path, edm2(tmp_path / "ref.pkl", 4)):
        with pytest.raises(ValueError, match="statistics, not images"):
            read_images(reference)
    np.savez(path, arr_0=np.zeros((2, 8, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"stats\.npz: images must be square, not 8x6"):
        read_images(path)
