import json
from dataclasses import FrozenInstanceError, dataclass
from typing import Literal

import pytest

from curriculum_search.curriculum import Decision, Observation, Pacing, Reason


def test_a_decision_advances_where_it_has_a_reason() -> None:
    assert not Decision(3).advances
    assert all(Decision(3, reason).advances for reason in Reason)


def test_reasons_are_written_as_their_words() -> None:
    words = ["start", "schedule", "plateau", "stage_limit", "end"]
    assert json.loads(json.dumps(list(Reason))) == words
    assert [Reason(word) for word in words] == list(Reason)


def test_an_observation_shows_neither_losses_nor_a_bank_nor_memories_unless_they_are_given() -> None:
    seen = Observation(100, 1000, 4, 5, stage=2, stage_start_images=50)
    assert (seen.losses, seen.bank_loss, dict(seen.memory)) == ((), None, {})


def test_what_was_seen_and_decided_cannot_be_changed() -> None:
    seen = Observation(100, 1000, 4, 5, stage=2, stage_start_images=50)
    with pytest.raises(FrozenInstanceError):
        seen.stage = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Decision(2).stage = 3  # type: ignore[misc]


def test_a_pacing_that_only_decides_asks_for_nothing_and_is_its_own_canonical_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pacing, "_members", dict(Pacing.kinds()))

    @dataclass(frozen=True, kw_only=True)
    class Patient(Pacing):
        kind: Literal["patient"] = "patient"

        def decide(self, seen: Observation) -> Decision:
            return Decision(seen.stage)

    pacing = Pacing.from_dict({"kind": "patient"})
    assert pacing == Patient()
    assert (pacing.loss_window_steps, pacing.reads_bank) == (None, False)
    assert pacing.canonical() is pacing
