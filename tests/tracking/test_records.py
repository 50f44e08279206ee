"""What a line of the journal must have to be a record."""

import json

import pytest

from curriculum_search.tracking.records import FIELDS, flaw
from curriculum_search.tracking.run_log import Line


def line(**record: object) -> Line:
    return Line(0, json.dumps(record).encode() + b"\n")


@pytest.mark.parametrize("kind", FIELDS)
def test_a_record_has_all_fields_of_its_kind(kind: str) -> None:
    fields = dict.fromkeys(FIELDS[kind], 1)
    assert flaw(line(run="a", kind=kind, **fields)) == ""
    for missing in fields:
        assert (
            flaw(line(run="a", kind=kind, **{k: v for k, v in fields.items() if k != missing})) == f"has no {missing}"
        )


def test_what_is_no_record_is_called_so() -> None:
    assert flaw(line(run="a", kind="poem")) == flaw(line(kind="tags", tags={})) == "no record of a run"
    assert "Expecting value" in flaw(Line(0, b"torn\n"))
