"""Finds the training curriculum over noise levels that trains a given diffusion model best.

The names below are for scripts and notebooks.  Each is imported when it is first used, so that the core, which stands
on torch and numpy alone, is never made to import the search.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curriculum_search.api import run_study
    from curriculum_search.curriculum import Curriculum
    from curriculum_search.experiment import CommandTrainer, Experiment, FunctionTrainer, Training
    from curriculum_search.loading import UserError
    from curriculum_search.search.load import load_study
    from curriculum_search.search.results.publish import StudyResult
    from curriculum_search.search.space import Categorical, Float, Int, Space
    from curriculum_search.search.study import Confirmation, Study

__all__ = [
    "Categorical",
    "CommandTrainer",
    "Confirmation",
    "Curriculum",
    "Experiment",
    "Float",
    "FunctionTrainer",
    "Int",
    "Space",
    "Study",
    "StudyResult",
    "Training",
    "UserError",
    "load_study",
    "run_study",
]

_HOMES = {
    "api": ("run_study",),
    "curriculum": ("Curriculum",),
    "experiment": ("CommandTrainer", "Experiment", "FunctionTrainer", "Training"),
    "loading": ("UserError",),
    "search.load": ("load_study",),
    "search.results.publish": ("StudyResult",),
    "search.space": ("Categorical", "Float", "Int", "Space"),
    "search.study": ("Confirmation", "Study"),
}

if not TYPE_CHECKING:  # which would take any name for one that there is

    def __getattr__(name: str) -> Any:
        for home, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(f"{__name__}.{home}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public are: {', '.join(__all__)}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
