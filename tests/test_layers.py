"""The direction of imports: the method stands on its own, the search stands on the method."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "curriculum_search"
CORE = (
    *("curriculum", "diffusion", "models", "data", "experiment", "training", "evaluation", "difficulty"),
    *("adapters", "testing"),
)
CORE_FILES = ("atomic.py", "config.py", "distributed.py")
ORCHESTRATION = {"ray", "optuna", "mlflow", "pydantic", "yaml", "rich", "matplotlib"}
UPPER = {"search", "tracking", "report", "cli", "loading", "export"}


def core_files() -> list[Path]:
    files = [PACKAGE / name for name in CORE_FILES]
    for name in CORE:
        folder = PACKAGE / name
        files += sorted(folder.rglob("*.py"))
    return files


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", core_files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_core_imports_no_orchestration(path: Path) -> None:
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in ORCHESTRATION, f"{path.name} imports {name}"
        if parts[0] == "curriculum_search" and len(parts) > 1:
            assert parts[1] not in UPPER, f"{path.name} imports {name}, which stands above it"


def test_no_two_rooms_of_the_core_need_each_other() -> None:
    needs = {room: set[str]() for room in CORE}
    for path in core_files():
        room = path.relative_to(PACKAGE).parts[0]
        if room in needs:
            modules = (name.split(".") for name in imported(path))
            needs[room] |= {m[1] for m in modules if m[0] == "curriculum_search" and m[1:] and m[1] in needs} - {room}
    # Whoever needs only what is already there can be built next.
    built: set[str] = set()
    while ready := {room for room, needed in needs.items() if needed <= built} - built:
        built |= ready
    assert built == set(CORE), f"a circle among {sorted(set(CORE) - built)}"
    assert needs["training"] >= {"experiment"}


def test_an_experiment_trains_where_only_torch_and_numpy_are_installed(tmp_path: Path) -> None:
    program = f"""
import sys
for name in {sorted(ORCHESTRATION | {"scipy", "hypothesis"})!r}:
    sys.modules[name] = None  # an import of it fails, as where it is not installed
import numpy as np
from pathlib import Path
from curriculum_search.data import Array
from curriculum_search.evaluation import Evaluation, ValidationLoss
from curriculum_search.experiment import Experiment, Training
from curriculum_search.models import DiT
from curriculum_search.training import PlainSession, train
folder = Path({str(tmp_path)!r})
np.savez(folder / "data.npz", images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), dtype=np.uint8))
experiment = Experiment(
    data=Array(path=str(folder / "data.npz")),
    model=DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2),
    training=Training(total_images=64, batch_size=16, num_evaluations=2),
    evaluation=Evaluation(evaluators=(ValidationLoss(),), final_evaluators=()),
)
result = train(experiment, PlainSession(run_dir=folder), folder)
assert result.images == 64 and result.metrics["val_loss"] > 0, result
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
