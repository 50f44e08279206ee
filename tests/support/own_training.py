"""Training code as users write it: what the study in miniature trains, written as a function of one's own."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

#: The native loop's training of `runner.tiny_experiment` and of `workplace.STUDY`, step by step.
SAME_AS_NATIVE = (REPOSITORY / "benchmarks" / "same_as_native.py").read_text()

#: A function that trains nothing but does all that a study needs, for what is asked of the handle alone.
NOTHING = """
def train(run):
    sampler = run.quantiles()
    run.restore()
    while not run.should_stop:
        q = sampler.quantiles(run.batch_size // run.world_size, run.device)
        sampler.observe(q + 1)
        if run.report_is_due:
            run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})
"""

#: A study of such code, for `write_own`.
OWN_STUDY = """
study:
  name: own
  objective: score
  trials: 2
  stopping: {kind: none}
  baselines: [no_curriculum, published]
  confirmation: {min_seeds: 2, max_seeds: 2}
base:
  trainer: {kind: function, path: my_training.py, metrics: {score: minimize}}
  process: {kind: flow}
  training: {total_images: 320, batch_size: 16, num_evaluations: 4}
space:
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
"""


def write_own(folder: Path, code: str, study: str = OWN_STUDY) -> Path:
    """Write training code and a study of it; the study's path."""
    (folder / "my_training.py").write_text(code)
    (folder / "own.yaml").write_text(study)
    return folder / "own.yaml"


#: `NOTHING` as a program, which reports through the handle.
PROGRAM = """
import argparse

from curriculum_search.trainers import connect

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.0)
parser.add_argument("--fast", action="store_true")
args = parser.parse_args()

run = connect()
sampler = run.quantiles()
run.restore()
while not run.should_stop:
    q = sampler.quantiles(run.batch_size, run.device)
    sampler.observe(q + 1)
    if run.report_is_due:
        run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})
"""

#: The same as a program that prints its metrics.
PRINTING = PROGRAM.replace(
    'run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})',
    'print(json.dumps({"images": run.images_seen, "score": float(q.mean())}))',
).replace("import argparse\n", "import argparse\nimport json\n")
