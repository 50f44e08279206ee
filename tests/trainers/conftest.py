"""Training code in files, and the experiments that name it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.curriculum import Curriculum, Linear
from curriculum_search.experiment import Experiment, FunctionTrainer, Training

#: Makes an experiment that the code of a file trains; ``training`` and ``trainer`` are settings to change.
MakeOwn = Callable[..., Experiment]


@pytest.fixture
def own(tmp_path: Path) -> MakeOwn:
    def make(code: str, *, metrics: Any = None, params: Any = None, training: Any = None, **fields: Any) -> Experiment:
        path = tmp_path / "my_training.py"
        path.write_text(code)
        settings = {"total_images": 320, "batch_size": 16, "num_evaluations": 4} | (training or {})
        trainer = FunctionTrainer(path=str(path), metrics=metrics or {"score": "minimize"}, params=params or {})
        curriculum = Curriculum(num_clusters=4, pacing=Linear(end_share=0.8))
        return Experiment(**{"curriculum": curriculum, "trainer": trainer, "training": Training(**settings)} | fields)

    return make
