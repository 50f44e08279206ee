"""A run that a program of the user's own trains."""

import json
import os
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.own_training import NOTHING, PRINTING, PROGRAM
from support.runner import session, timeless
from trainers.conftest import MakeOwn

from curriculum_search.curriculum import Curriculum, Plateau
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Cadence, CommandTrainer, Experiment
from curriculum_search.trainers import OUTPUT, TrainerError, train
from curriculum_search.trainers.command import to_yaml, words
from curriculum_search.training import Interrupted, PlainSession, Report


@pytest.fixture
def program(tmp_path: Path, own: MakeOwn, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))

    def make(code: str, *more: str, trainer: Any = None, **fields: Any) -> Experiment:
        (tmp_path / "program.py").write_text(code)
        command = CommandTrainer(
            command=("python", "program.py", *more),
            folder=str(tmp_path),
            **{"metrics": {"score": "minimize"}, **(trainer or {})},
        )
        return replace(own(NOTHING, **fields), trainer=command)

    return make


@pytest.mark.parametrize("code", [PROGRAM, PRINTING], ids=["by the handle", "printed"])
def test_a_program_comes_to_the_reports_of_the_function(tmp_path: Path, own: MakeOwn, program: Any, code: str) -> None:
    plateau = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2))
    fields = {"curriculum": plateau, "cadence": Cadence(status_images=64)}
    function, started = session(tmp_path, "function"), session(tmp_path, "program")
    expected = train(own(NOTHING, **fields), function, tmp_path)
    result = train(program(code, **fields), started, tmp_path)
    assert timeless(started.reports) == timeless(function.reports)
    assert [(s.images, s.train_loss, s.stage) for s in started.statuses] == [
        (s.images, s.train_loss, s.stage) for s in function.statuses
    ]
    assert (result.images, result.exposure) == (expected.images, expected.exposure)


def test_metrics_may_be_appended_to_a_file_and_the_output_goes_to_the_runs_log(tmp_path: Path, program: Any) -> None:
    code = PRINTING.replace("print(json.dumps(", "print('said'); open(run.folder / 'm.jsonl', 'a').write('\\n' + (")
    code = code.replace("float(q.mean())}))", 'float(q.mean())}.__repr__().replace("\'", chr(34)) + "\\n"))')
    home = session(tmp_path)
    (home.run_dir / "own").mkdir()
    (home.run_dir / "own" / "m.jsonl").write_text('{"images": 80, "score": 9.0}\n')  # of an earlier start
    train(program(code, trainer={"metrics_file": "{folder}/m.jsonl"}), home, tmp_path)
    assert [report.images for report in home.reports] == [80, 160, 240, 320]
    assert all(report.metrics["score"] < 1 for report in home.reports)
    assert (home.run_dir / OUTPUT).read_text() == "said\n" * 4


def test_parameters_come_as_arguments_or_as_a_file(tmp_path: Path) -> None:
    trainer = CommandTrainer(command=("python", "train.py", "--out={folder}"), metrics={"fid": "minimize"})
    params = {"lr": 1e-5, "name": "a b", "sizes": [1, 2], "fast": True, "slow": False, "none": None, "deep": {"x": 1}}
    file = tmp_path / "params.yaml"
    assert words(trainer, params, file, tmp_path) == [
        *("python", "train.py", f"--out={tmp_path}"),
        *("--lr", "1e-05", "--name", "a b", "--sizes", "1", "2", "--fast", "--deep.x", "1"),
    ]
    by_file = replace(trainer, command=("python", "train.py", "--config", "{params_file}"))
    assert words(by_file, params, file, tmp_path) == ["python", "train.py", "--config", str(file)]
    assert yaml.safe_load(to_yaml(params)) == params == json.loads(to_yaml(params))


def test_a_program_finds_them_and_what_it_is_to_train(tmp_path: Path, program: Any) -> None:
    code = PROGRAM + (
        "import os, yaml, pathlib\n"
        "assert (args.lr, args.fast) == (1e-05, True), args\n"
        "home = pathlib.Path(os.environ['CURRICULUM_SEARCH_RUN'])\n"
        "assert yaml.safe_load((home / 'params.yaml').read_text()) == {'lr': 1e-05, 'fast': True} == dict(run.params)\n"
        "assert (home / 'curriculum.json').exists() and run.seed == 7\n"
    )
    params = {"lr": 1e-5, "fast": True}
    train(program(code, trainer={"params": params}, seed=7), session(tmp_path), tmp_path)


def test_programs_of_two_trials_meet_at_ports_of_their_own(
    tmp_path: Path, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os, torch.distributed as dist\n"
        "dist.init_process_group('gloo', init_method='env://', rank=0, world_size=1)\n"
        + PROGRAM
        + "open('port', 'w').write(os.environ['MASTER_PORT'])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        monkeypatch.setenv("MASTER_PORT", taken)
        train(program(code), session(tmp_path), tmp_path)
    assert (tmp_path / "port").read_text() != taken


WRONG = {
    "fails": (
        "import sys\nprint('almost')\nsys.exit('no data')\n",
        r"ends with exit status 1: no data \(.*output.txt\)",
    ),
    "raises": (
        PROGRAM.replace("run.restore()", "1 / 0"),
        r"ends with exit status 1: ZeroDivisionError: division by zero \(",
    ),
    "dies": ("import os\nos.kill(os.getpid(), 9)\n", "is killed by SIGKILL: it has said nothing"),
    "does nothing": ("", "ends and has drawn no noise levels: draw them from the sampler that it takes from the run"),
    "never reports": (PROGRAM.replace("if run.report_is_due:", "if False:"), "ends and has reported nothing"),
    "counts steps": (
        PRINTING.replace('{"images": run.images_seen', '{"images": run.images_seen // 16'),
        "reports 5 images and has drawn noise levels for 80",
    ),
    "does not ask": (
        PRINTING.replace("if run.report_is_due:", "if run.images_seen % 80 == 0:"),
        r"says {\"images\": 80, .*}, and has not asked run.report_is_due",
    ),
    "leaves one out": (PROGRAM.replace('"score"', '"scores"'), "reports scores, and not score, which trainer.metrics"),
}


@pytest.mark.parametrize(("code", "message"), WRONG.values(), ids=WRONG)
def test_what_a_program_does_wrong_is_told_with_its_file(tmp_path: Path, program: Any, code: str, message: str) -> None:
    with pytest.raises(TrainerError, match=rf"^program.py: {message}"):
        train(program(code), session(tmp_path), tmp_path)


@pytest.mark.parametrize("code", [PROGRAM, PRINTING], ids=["by the handle", "printed"])
def test_what_is_not_finite_is_a_diverged_run(tmp_path: Path, program: Any, code: str) -> None:
    with pytest.raises(Diverged, match=r"^score is nan at 80 images$"):
        train(program(code.replace("float(q.mean())", "float('nan')")), session(tmp_path), tmp_path)


SLOW = PROGRAM.replace("    sampler.observe", "    __import__('time').sleep(0.05)\n    sampler.observe") + (
    "if run.images_seen < run.total_images:\n    run.report(images=run.images_seen, checkpoint={'a': 2})\n"
)


def test_a_program_that_is_asked_to_end_saves_and_goes_on_from_there(tmp_path: Path, program: Any) -> None:
    experiment = program(SLOW, cadence=Cadence(status_images=16))
    whole, parts = session(tmp_path, "whole"), session(tmp_path, "parts")
    train(experiment, whole, tmp_path)

    class Asked(PlainSession):
        def status(self, status: object) -> None:
            super().status(status)  # type: ignore[arg-type]
            self.should_stop |= self.statuses[-1].images >= 112

    asked = Asked(run_dir=parts.run_dir, device=parts.device)
    with pytest.raises(Interrupted) as caught:
        train(experiment, asked, tmp_path)
    assert 112 <= caught.value.images < 320
    train(experiment, parts, tmp_path)
    assert timeless(parts.reports) == timeless(whole.reports)


def test_a_program_that_prints_goes_on_with_what_it_had_reported(tmp_path: Path, program: Any) -> None:
    saving = PRINTING + "    if run.images_seen == 160:\n        run.report(images=160, checkpoint={})\n"
    home = session(tmp_path)
    with pytest.raises(TrainerError):
        train(program(saving + "    assert run.images_seen < 200\n"), home, tmp_path)
    assert [report.images for report in home.reports] == [80, 160]
    again = session(tmp_path)
    (tmp_path / "program.py").write_text(saving)
    state = torch.load(home.run_dir / "checkpoint.pt")
    experiment = program(saving)
    torch.save(state | {"identity": experiment.identity()}, home.run_dir / "checkpoint.pt")
    train(experiment, again, tmp_path)
    assert [report.images for report in again.reports] == [80, 160, 240, 320]


@pytest.mark.parametrize("stubborn", [False, True])
def test_nothing_of_a_program_is_left_whatever_ends_its_run(tmp_path: Path, program: Any, stubborn: bool) -> None:
    """It has started another process, and the session ends the run by an exception, as Ray does."""
    ignore = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" * stubborn
    code = PROGRAM.replace("run.restore()", f"run.restore()\n{ignore}") + "\n"
    code = code.replace(
        "    if run.report_is_due:",
        "    if run.images_seen == 16:\n"
        "        import os, subprocess\n"
        "        child = subprocess.Popen(['sleep', '600'])\n"
        "        (run.folder / 'pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "    if run.report_is_due:",
    ).replace("connect()\n", "connect()\nimport time\n", 1)
    code += "time.sleep(600)\n"

    class Ending(PlainSession):
        def report(self, report: Report) -> None:
            raise SystemExit(0)

    home = Ending(run_dir=session(tmp_path).run_dir, device=torch.device("cpu"))
    with pytest.raises(SystemExit):
        train(program(code, trainer={"stop_seconds": 0.5}), home, tmp_path)
    for pid in map(int, (home.run_dir / "own" / "pids").read_text().split()):
        assert not alive(pid)


def test_a_program_ends_with_the_process_that_has_started_it(tmp_path: Path, program: Any) -> None:
    code = PROGRAM.replace("run.restore()", "(run.folder / 'pid').write_text(str(__import__('os').getpid()))")
    code = code.replace("    sampler.observe", "    __import__('time').sleep(600)\n    sampler.observe")
    experiment, home = program(code), session(tmp_path)
    child = os.fork()
    if child == 0:
        threading.Thread(target=train, args=(experiment, home, tmp_path), daemon=True).start()
        while not (home.run_dir / "own" / "pid").exists():
            time.sleep(0.05)
        os._exit(0)
    os.waitpid(child, 0)
    pid = int((home.run_dir / "own" / "pid").read_text())
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_torchrun_inside_trains_with_its_own_workers(tmp_path: Path, program: Any) -> None:
    code = PROGRAM.replace(
        "sampler = run.quantiles()",
        "import torch.distributed as dist\ndist.init_process_group('gloo')\nsampler = run.quantiles()",
    ).replace("run.batch_size, run.device", "run.batch_size // run.world_size, run.device")
    code = code.replace("float(q.mean())", "float(run.world_size)") + "dist.destroy_process_group()\n"
    experiment = program(code)
    command = ("torchrun", "--standalone", "--nproc-per-node=2", "program.py")
    experiment = replace(experiment, trainer=replace(experiment.trainer, command=command))
    home = session(tmp_path)
    result = train(experiment, home, tmp_path)
    assert [report.images for report in home.reports] == [80, 160, 240, 320]
    assert result.metrics["score"] == 2.0
