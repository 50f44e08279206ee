"""Commands whose results are in a bucket, on a real S3 server."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.s3_server import S3Server
from support.workplace import Workplace, wait_for

from curriculum_search.loading import read_yaml, to_yaml
from curriculum_search.storage import mirror as mirrors


def curve(text: str) -> list[tuple[int, float]]:
    """Images and validation loss of each report of a log."""
    records = [json.loads(line) for line in text.splitlines()]
    return [(r["images"], r["metrics"]["val_loss"]) for r in records if r["kind"] == "report"]


def results(out: str) -> list[str]:
    """What a command says of how a run ended, and where it is."""
    return [line for line in out.splitlines() if line.startswith(("finished", "  ", "Run:"))]


def test_a_run_whose_bucket_is_killed_in_the_middle_goes_on_and_comes_to_be_there_whole(
    s3: S3Server, make_workplace: Callable[[], Workplace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "_EVERY_SECONDS", 0.2)
    is_told = threading.Event()
    away = mirrors.Mirror._away

    def told(self: mirrors.Mirror, trouble: str) -> None:
        away(self, trouble)
        is_told.set()

    monkeypatch.setattr(mirrors.Mirror, "_away", told)
    workplace = make_workplace()
    experiment = workplace.folder / "experiment.yaml"
    experiment.write_text(to_yaml(read_yaml(workplace.study)["base"]))
    watched = workplace.watched().removeprefix("base.")
    assert workplace.call("train", experiment, watched)[0] == 0
    (undisturbed,) = (workplace.results / "train").glob("runs/*/log.jsonl")
    workplace.log.unlink()
    workplace.address = s3.uri("killed")
    workplace.hold_after(1)
    happened: list[bool] = []

    def disturb() -> None:
        checkpoint = f"train/runs/{undisturbed.parent.name}/checkpoint.pt"
        happened.append(wait_for(lambda: checkpoint in s3.names("killed") and len(workplace.witnessed()) == 2, 60))
        s3.kill()
        happened.append(is_told.wait(60))
        workplace.hold_after(None)
        happened.append(wait_for(lambda: len(workplace.witnessed()) == 4, 60))  # The run does not wait.
        s3.start()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    status, out, err = workplace.call("train", experiment, watched)
    disturbing.join()
    assert (status, happened) == (0, [True, True, True]), err
    assert out.count("nothing can be copied there: the storage does not answer") == 1
    assert out.count("answers again") == 1
    folder = f"killed/train/runs/{undisturbed.parent.name}"
    assert curve(s3.read(f"{folder}/log.jsonl")) == curve(undisturbed.read_text())
    (line,) = (line for line in out.splitlines() if "nothing can be copied there" in line)
    remarks = [json.loads(each) for each in s3.read(f"{folder}/log.jsonl").splitlines() if '"remark"' in each]
    assert remarks[0]["text"] in line
    assert {"checkpoint.pt", "result.json", "samples.png", "experiment.json", "witness.py"} <= s3.names(folder)
    assert not {name for name in s3.names("killed") if "before" in name or "claims" in name}

    # Another machine trains nothing, and says the same.
    other = replace(workplace, folder=tmp_path / "other", cache=tmp_path / "cache")
    status, again, err = other.call("train", experiment, watched)
    assert status == 0, err
    assert results(again) == results(out)
    assert len(workplace.witnessed()) == 4

    # And evaluates what it has not trained.
    status, out, err = other.call("evaluate", f"{s3.uri(folder)}", "--blocks", "2")
    assert status == 0, err
    assert any(name.endswith("evaluation.txt") for name in s3.names("killed/evaluate"))
