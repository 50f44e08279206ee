"""The handle inside a program, by the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum_search.trainers import connect
from curriculum_search.trainers.program import MESSAGES, VARIABLE, ProgramSession
from curriculum_search.training import StatusReport

STATUS = StatusReport(images=16, train_loss=None, images_per_second=1.0, stage=1, unlocked_share=0.5)


def test_without_a_study_it_says_how_one_starts_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ValueError, match=r"^no study has started this program, for CURRICULUM_SEARCH_RUN is not set: "):
        connect()


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_the_first_process_speaks_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str | None, lines: int
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    (tmp_path / "program").mkdir()
    ProgramSession(tmp_path / "program").status(STATUS)
    file = tmp_path / "program" / MESSAGES
    said = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    assert said == [["status", STATUS.to_json()]] * lines


def test_a_program_imports_the_handle_where_there_is_no_ray_no_optuna_and_no_mlflow() -> None:
    missing = ["ray", "optuna", "mlflow", "pydantic", "yaml", "rich", "matplotlib", "scipy"]
    code = f"import sys\nfor name in {missing}:\n    sys.modules[name] = None\nimport curriculum_search.trainers\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env={**os.environ})
