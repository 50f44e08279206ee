"""The quickstart's confirmation, repeated on recorded runs, says the same in nine cases of ten."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from repeat_quickstart import RECORDED, STUDY_FILE, plan_of, read_study, repeat

from curriculum_search.curriculum import Curriculum
from curriculum_search.experiment import Experiment
from curriculum_search.export import CURRICULUM, write_best
from curriculum_search.search.load import load_study


def test_the_quickstart_says_the_same_in_nine_cases_of_ten() -> None:
    values, confirmation = json.loads(RECORDED.read_text()), load_study(STUDY_FILE, {}).study.confirmation
    plan = plan_of(values, confirmation.min_seeds, confirmation.max_seeds)
    rng = np.random.default_rng(1)
    said = Counter(repeat(plan, values, rng)[0][0] for _ in range(100))
    assert said["better"] >= 90


@pytest.mark.parametrize(("gain", "kind"), [(0.0, "not separable"), (50.0, "better"), (-50.0, "worse")])
def test_a_repetition_says_what_is_so(gain: float, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = {
        "no_curriculum": (100 + rng.standard_normal(16)).tolist(),
        "trial 3": (100 - gain + rng.standard_normal(16)).tolist(),
        "trial 3 / exposure": (100 + rng.standard_normal(16)).tolist(),
        "published": (130 + rng.standard_normal(4)).tolist(),
    }
    plan = plan_of(values, 3, 6)
    assert (plan.leaders, plan.controls) == (("trial 3",), {"trial 3": "trial 3 / exposure"})
    assert plan.baselines == ("published",)
    said = Counter(repeat(plan, values, rng)[0][0] for _ in range(20))
    assert said.most_common(1)[0][0] == kind


def test_the_values_of_a_study_are_those_that_it_exports(tmp_path: Path) -> None:
    known = {"no_curriculum": {"1": 3.0, "2": 2.0}, "trial 3": {"1": 1.5, "2": None, "3": 1.0}, "published": {"1": 9.0}}
    write_best(tmp_path, Experiment(curriculum=Curriculum()), {}, comment="", evidence={"values": known})
    assert (tmp_path / CURRICULUM).exists()
    assert read_study(tmp_path) == {"no_curriculum": [3.0, 2.0], "trial 3": [1.5, 1.0]}
