"""What a job does to its process is undone after it."""

import gc
import logging
import os
import random
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from curriculum_search.runs.isolation import isolated


def seen() -> list[object]:
    """What a job may change, and the next would see."""
    return [
        random.getstate(),
        repr(np.random.get_state()),
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.is_anomaly_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.mkldnn.enabled,
        np.geterr(),
        logging.root.level,
        list(logging.root.handlers),
        logging.getLogger("made.within").level,
        logging.getLogger("made.within").handlers,
        dict(os.environ),
        os.getcwd(),
        list(sys.path),
    ]


def make_a_mess() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_grad_enabled(False)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.autograd.set_detect_anomaly(True)
    for backend, name in ((torch.backends.cudnn, "benchmark"), (torch.backends.mkldnn, "enabled")):
        setattr(backend, name, not getattr(backend, name))
    np.seterr(all="raise")
    logging.basicConfig(level=logging.DEBUG, force=True, stream=sys.stderr)
    logging.getLogger("made.within").addHandler(logging.NullHandler())
    logging.getLogger("made.within").setLevel(logging.DEBUG)
    os.environ["OMP_NUM_THREADS"], os.environ["MADE_WITHIN"] = "77", "1"
    del os.environ["PATH"]
    os.chdir("/")
    sys.path.insert(0, "/")


def test_what_a_job_has_changed_of_its_process_is_as_it_was_whether_it_ends_well_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = seen()
    with isolated():
        make_a_mess()
    assert seen() == before

    def fail() -> None:
        with isolated():
            make_a_mess()
            raise ValueError("the job's own")

    with pytest.raises(ValueError, match="the job's own"):
        fail()
    assert seen() == before


def test_what_a_job_has_left_in_circles_is_freed() -> None:
    network = torch.nn.Linear(1, 1)
    network.itself = [network]  # type: ignore[assignment]
    left = weakref.ref(network)
    gc.disable()
    try:
        with isolated():
            del network
        assert left() is None
    finally:
        gc.enable()
