"""Jobs and errors on their way between processes."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.loading import define_plugins, validated
from curriculum_search.runs.job import Job, RunError, one_line

#: A plug-in: a pacing of the user's own.
LATE = """
from dataclasses import dataclass
from typing import Literal
from curriculum_search.curriculum import FixedPacing

@dataclass(frozen=True, kw_only=True)
class Late(FixedPacing):
    kind: Literal["late_of_job_test"] = "late_of_job_test"
    start_share: float = 0.5

    def fraction(self, progress: float) -> float:
        return float(progress >= self.start_share)
"""

#: Reads a job in a process that has never heard of the plug-in, and says what it is; then gives it back.
READER = """
import pickle, sys
from curriculum_search.curriculum import Pacing
from curriculum_search.runs.job import Job

fields = pickle.load(sys.stdin.buffer)
assert "late_of_job_test" not in Pacing.kinds()
job = Job.decode(fields)
assert "late_of_job_test" in Pacing.kinds()
assert job.experiment.identity() == job.key, (job.experiment, job.key)
assert job.experiment.curriculum.pacing.fraction(0.25) == 1.0
sys.stdout.buffer.write(pickle.dumps(job.encode()))
"""


def made(tmp_path: Path) -> Job:
    plugins = {"late_of_job_test.py": LATE}
    define_plugins(plugins)
    plain = {"curriculum": {"pacing": {"kind": "late_of_job_test", "start_share": 0.25}}, "seed": 3}
    experiment = validated(Experiment, plain, "x")
    return Job(
        key=experiment.identity(),
        experiment=experiment,
        run_dir=tmp_path / "runs" / "key",
        cache_dir=tmp_path / "cache",
        plugins=plugins,
        working_dir=tmp_path,
    )


def test_a_job_is_plain_values_on_its_way_and_the_same_job_in_a_process_without_its_plug_in(tmp_path: Path) -> None:
    job = made(tmp_path)
    sent = pickle.dumps(job.encode())
    assert b"curriculum_search" not in sent.replace(LATE.encode(), b"")  # no class of ours, and none of the plug-in's
    reader = subprocess.run([sys.executable, "-c", READER], input=sent, capture_output=True, timeout=120)
    assert reader.returncode == 0, reader.stderr.decode()
    assert Job.decode(pickle.loads(reader.stdout)) == job


def test_a_job_is_shown_by_its_key(tmp_path: Path) -> None:
    job = made(tmp_path)
    assert repr(job) == f"Job({job.key})"  # Ray writes it into its logs


def test_an_error_survives_the_way_to_the_driver_in_words() -> None:
    class OwnError(Exception):
        """Of a class that the driver does not have, and that does not pickle."""

        def __init__(self, device: str, advice: str) -> None:
            super().__init__(f"{device} is out of memory\n\n{advice}")

    def fail() -> None:
        try:
            dict[str, int]()["the first cause"]
        except KeyError as error:
            raise OwnError("cuda:3", "buy more") from error

    with pytest.raises(OwnError) as caught:
        fail()
    error = RunError.of(caught.value)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == again.reason == "OwnError: cuda:3 is out of memory"
    assert again.trace == error.trace
    assert again.trace.index("KeyError: 'the first cause'") < again.trace.index("buy more")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong"), "ValueError: wrong"),
        (AssertionError(), "AssertionError"),
        (RuntimeError("CUDA error: out of memory\nCompile with ...\n"), "RuntimeError: CUDA error: out of memory"),
        (RuntimeError("\nError(s) in DiT:\n\tsize of a\n\tsize of b"), "RuntimeError: Error(s) in DiT: size of a"),
    ],
)
def test_an_error_on_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line
