"""A study whose results are in a bucket, on a real S3 server and a real Ray cluster."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.s3_server import S3Server
from support.workplace import REPOSITORY, Workplace


def told(out: str) -> list[str]:
    """What a study says in the end: its verdict and where things are; times and MLflow's page left out."""
    lines = out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("tiny: val_loss at the end"))
    return [line for line in lines[begin:] if not line.startswith("MLflow:")]


def test_a_study_is_in_the_bucket_and_another_machine_says_the_same_of_it(
    s3: S3Server, make_workplace: Callable[[], Workplace], connect_two_cpus: Callable[[], None], tmp_path: Path
) -> None:
    connect_two_cpus()
    workplace = make_workplace()
    workplace.address, workplace.cache = s3.uri("labs"), tmp_path / "first"
    command = ("search", workplace.study, workplace.watched())
    status, out, err = workplace.call(*command)
    assert status == 0, err
    names = s3.names("labs/tiny")
    assert {"study.yaml", "study.journal", "confirmation.json", "best.yaml", "report.html", "witness.py"} <= names
    assert "figures" in {name.partition("/")[0] for name in names}
    runs = {name.split("/")[1] for name in names if name.startswith("runs/")}
    for run in runs:
        files = {name.removeprefix(f"runs/{run}/") for name in names if name.startswith(f"runs/{run}/")}
        assert {"experiment.json", "log.jsonl", "result.json", "checkpoint.pt", "samples.png"} <= files
        assert not files & {"checkpoint.before.pt", "evaluation-0.pt"}
    assert s3.uri("labs/tiny/best.yaml") in out

    trained = len(workplace.witnessed())
    workplace.cache = tmp_path / "second"
    status, again, err = workplace.call(*command)
    assert status == 0, err
    assert told(again) == told(out)
    assert len(workplace.witnessed()) == trained
    (here,) = (tmp_path / "second/results").iterdir()
    assert {path.parent.name for path in here.glob("tiny/runs/*/result.json")} == runs
    assert not list(here.glob("tiny/runs/*/checkpoint.pt"))  # which nobody needs there

    report = [sys.executable, str(REPOSITORY / "jobs" / "report.py"), s3.uri("labs/tiny"), "--figures"]
    environment = {**os.environ, "CURRICULUM_SEARCH_CACHE": str(tmp_path / "third")}
    done = subprocess.run(report, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [s3.uri("labs/tiny/report.html")]), done.stderr
    drawn = s3.names("labs/tiny/figures")
    assert {Path(name).suffix for name in drawn} == {".png", ".pdf", ".svg"}
    assert names < s3.names("labs/tiny")
