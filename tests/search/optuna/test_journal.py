"""A study's journal: nothing that was told is lost, and a reader leaves it as it is."""

from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from curriculum_search.search.optuna.journal import Journal, JournalReader


def study_in(backend: optuna.storages.journal.BaseJournalBackend) -> optuna.Study:
    storage = optuna.storages.JournalStorage(backend)
    return optuna.create_study(storage=storage, study_name="study", load_if_exists=True)


def add(study: optuna.Study, value: float) -> None:
    trial = study.ask()
    trial.suggest_float("a", 0.0, 1.0)
    study.tell(trial, value)


def test_optuna_itself_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    ours = study_in(Journal(path))
    add(ours, 1.0)
    add(study_in(JournalFileBackend(str(path))), 2.0)
    add(ours, 3.0)
    assert [trial.value for trial in study_in(Journal(path)).trials] == [1.0, 2.0, 3.0]
    assert [trial.value for trial in study_in(JournalFileBackend(str(path))).trials] == [1.0, 2.0, 3.0]
    assert [file.name for file in tmp_path.iterdir()] == ["study.journal"]  # no lock is left


def test_every_record_is_in_the_file_before_anything_else_happens(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "study.journal")
    journal.append_logs([{"op_code": 0, "x": 1}, {"op_code": 1, "x": 2}])
    assert [log["x"] for log in JournalReader(tmp_path / "study.journal").logs] == [1, 2]
    journal.sync()
    assert list(journal.read_logs(1)) == [{"op_code": 1, "x": 2}]


@pytest.mark.parametrize("torn", [1, 7, 30])
def test_a_line_that_a_killed_driver_left_half_written_is_cut_off(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "study.journal"
    study = study_in(Journal(path))
    add(study, 1.0)
    whole = path.read_bytes()
    add(study, 2.0)
    path.write_bytes(path.read_bytes()[: len(whole) + torn])
    assert len(JournalReader(path).logs) == whole.count(b"\n")  # a reader does not even see it
    assert path.stat().st_size == len(whole) + torn
    journal = Journal(path)
    assert path.read_bytes() == whole
    add(study_in(journal), 3.0)
    assert [trial.value for trial in study_in(Journal(path)).trials] == [1.0, 3.0]


def test_a_reader_has_the_journal_as_it_was_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    writing = study_in(Journal(path))
    add(writing, 1.0)
    reader = JournalReader(path)
    add(writing, 2.0)
    before = path.read_bytes()
    read = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(reader))
    assert [trial.value for trial in read.trials] == [1.0]
    with pytest.raises(AssertionError, match="only read"):
        read.ask()
    assert path.read_bytes() == before
