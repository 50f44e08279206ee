"""The direction of imports: the method stands on its own, the search stands on the method.  And the tests mirror the
package."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "curriculum_search"
CORE = (
    *("conditions", "curriculum", "diffusion", "models", "data", "experiment", "training", "evaluation", "difficulty"),
    *("text", "adapters", "testing", "trainers"),
)
CORE_FILES = (
    "atomic.py",
    "caches.py",
    "config.py",
    "direction.py",
    "distributed.py",
    "duration.py",
    "hub.py",
    "lock.py",
    "tensor_file.py",
    "torch_imports.py",
)
ORCHESTRATION = {"ray", "optuna", "mlflow", "pyarrow", "pydantic", "yaml", "rich", "matplotlib", "plotly"}
UPPER = {"api", "commands", "runs", "search", "tracking", "report", "cli", "entry", "loading", "export", "storage"}
#: What stands on the core, and what of the package above it each room may import.
ROOMS = {
    "tracking": set[str](),
    "report": set[str](),
    "storage": {"loading"},
    "runs": {"entry", "tracking", "loading", "storage"},
    "commands": {"runs", "tracking", "report", "cli", "loading", "export", "storage"},
    "search": {"runs", "tracking", "report", "cli", "loading", "export", "storage"},
}
#: The rooms of the search from the bottom up: each imports from those before it, and from its own.
SEARCH = (
    "space",
    "stopping",
    "replay",
    "statistics",
    "optuna",
    "objectives",
    "arms",
    "named_arms",
    "study",
    "tries",
    "checks",
    "load",
    "design",
    "budget",
    "ledger",
    "phases",
    "results",
    "measure",
    "rehearsal",
    "warm_start",
    "driver",
    "reading",
    "plan",
)
MOST_LINES = 400


def core_files() -> list[Path]:
    files = [PACKAGE / name for name in CORE_FILES]
    for name in CORE:
        files += sorted((PACKAGE / name).rglob("*.py"))
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


def modules() -> dict[str, Path]:
    """The package's modules by their dotted name."""
    return {
        ".".join(("curriculum_search", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imported_modules() -> dict[str, set[str]]:
    """Module to the modules of the package that it imports, for types only as well."""
    known = modules()
    return {name: (imported(path) & known.keys()) - {name} for name, path in known.items()}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: set(others) for name, others in imported_modules().items()}
    for name, others in graph.items():  # a package's own modules are imported through it
        others -= {other for other in others if name.startswith(f"{other}.")}
    while free := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph, f"these wait for each other: {sorted(graph)}"


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_above_the_core_imports_only_what_stands_below_it(room: str) -> None:
    for name, others in imported_modules().items():
        if name.split(".")[1:2] == [room]:
            above = {other.split(".")[1] for other in others if other.count(".")} & UPPER
            assert above <= ROOMS[room] | {room}, f"{name} imports {sorted(above - ROOMS[room] - {room})}"


def test_nothing_in_the_search_imports_upwards() -> None:
    places = {room: place for place, room in enumerate(SEARCH)}
    found = {path.stem for path in (PACKAGE / "search").iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert found == set(SEARCH)
    for name, others in imported_modules().items():
        for other in others:
            ours, theirs = name.split(".")[1:3], other.split(".")[1:3]
            if ours[:1] == theirs[:1] == ["search"] and len(ours) == len(theirs) == 2:
                assert places[theirs[1]] <= places[ours[1]], f"{name} imports {other}"


@pytest.mark.parametrize("path", [*PACKAGE.rglob("*.py")], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_is_longer_than_one_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_every_module_has_a_test_of_its_name() -> None:
    """``a/b/_c.py`` has ``tests/a/b/test_c.py``."""
    modules = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    tests = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    without = {path for path in modules if path.with_name(f"test_{path.name.lstrip('_')}") not in tests}
    assert not without


def test_no_test_file_is_longer_than_one_room() -> None:
    files = {str(path.relative_to(TESTS)): len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert not {name for name, lines in files.items() if lines > MOST_LINES}


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
