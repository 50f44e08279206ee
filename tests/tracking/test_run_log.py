"""The local truth: a file of JSON lines that survives its writer."""

from pathlib import Path

from curriculum_search.tracking import RunLog


def test_records_come_back_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run" / "log.jsonl")
    assert log.read() == []
    log.append({"kind": "metrics", "images": 64}, {"kind": "end"})
    log.append({"kind": "start", "name": "naïve\nname"})
    assert log.read() == [{"kind": "metrics", "images": 64}, {"kind": "end"}, {"kind": "start", "name": "naïve\nname"}]


def test_a_line_that_was_not_written_to_its_end_is_no_record_and_spoils_none(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.append({"images": 64}, {"images": 128})
    whole = log.path.read_bytes()
    for cut in range(len(b'{"images":64}\n'), len(whole)):
        log.path.write_bytes(whole[:cut])
        assert log.read() == [{"images": 64}]
        log.append({"images": 192})
        assert log.read() == [{"images": 64}, {"images": 192}]


def test_a_reader_goes_on_where_it_was_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.append({"images": 64})
    (line,) = log.lines()
    assert line.record == {"images": 64}
    with open(log.path, "ab") as file:
        file.write(b'{"images":')
    assert log.lines(line.end) == []
    with open(log.path, "ab") as file:
        file.write(b"128}\n")
    assert [later.record for later in log.lines(line.end)] == [{"images": 128}]


def test_a_long_log_is_read_in_parts_without_losing_a_record(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    log.append(*({"images": i} for i in range(1000)))
    found, offset = [], 0
    while part := log.lines(offset, max_bytes=100):
        assert len(part) < 20
        found += part
        offset = part[-1].end
    assert [line.record["images"] for line in found] == list(range(1000))
