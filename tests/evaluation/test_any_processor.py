"""The same images have the same metrics, to four digits and more, whatever kind of processor measures them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Of images that are made of integers, so that they are the same everywhere; the classifier's by what it was shown.
VALUES = {
    "fd_pca64_500": 6.772488,
    "kid_pca64_500": 0.1789179,
    "kid_pca64_500_spread": 0.01044278,
    "precision_pca64_500": 0.556,
    "recall_pca64_500": 0.058,
    "fd_pca62_500": 6.695984,
    "kid_pca62_500": 0.1834401,
    "kid_pca62_500_spread": 0.01089961,
    "precision_pca62_500": 0.562,
    "recall_pca62_500": 0.054,
}
CLASSIFIED = {
    20_000: {
        "is_classifier_500": 1.610757,
        "is_classifier_500_spread": 0.2296017,
        "fd_classifier_500": 11.70826,
        "kid_classifier_500": 0.5911042,
        "kid_classifier_500_spread": 0.04718475,
        "precision_classifier_500": 0.2,
        "recall_classifier_500": 0.476,
    },
    5_000: {
        "is_classifier_500": 1.136046,
        "is_classifier_500_spread": 0.03507872,
        "fd_classifier_500": 6.734167,
        "kid_classifier_500": 0.1650971,
        "kid_classifier_500_spread": 0.01113870,
        "precision_classifier_500": 0.69,
        "recall_classifier_500": 0.24,
    },
}
OLD = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}


@pytest.mark.parametrize(
    ("processor", "training_images"),
    [
        pytest.param({}, 20_000, id="this processor, the classifier as studies use it"),
        pytest.param({}, 5_000, id="this processor"),
        pytest.param({"ATEN_CPU_CAPABILITY": "default"}, 5_000, id="PyTorch without vectors"),
        pytest.param(OLD, 5_000, id="libraries as on an old processor"),
    ],
)
def test_images_have_the_values_that_are_written_here(
    processor: dict[str, str], training_images: int, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | processor
    command = [sys.executable, str(Path(__file__).with_name("measured.py")), str(training_images), str(tmp_path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == pytest.approx(VALUES | CLASSIFIED[training_images], rel=1e-5)
