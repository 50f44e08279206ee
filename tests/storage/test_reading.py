"""What is in a bucket is read as it is now, and nothing is fetched twice."""

from pathlib import Path

import pytest
from support.s3_server import S3Server

from curriculum_search.loading import UserError
from curriculum_search.storage import address_of, as_it_stands, fetched, folders, sent, working_copy_of
from curriculum_search.storage.remote import Remote


def test_a_folder_is_fetched_without_the_checkpoints_below_it_and_kept_as_it_is_there(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Remote.of(s3.uri("reading/study"))
    for name in ("study.yaml", "runs/a/log.jsonl", "runs/a/checkpoint.pt", ".holder", "gone.json"):
        (there / name).write("first")
    downloads: list[str] = []
    download = Remote.download

    def noted(self: Remote, path: Path) -> None:
        downloads.append(self.name)
        download(self, path)

    monkeypatch.setattr(Remote, "download", noted)
    here = fetched(there.address, tmp_path)
    assert sorted(downloads) == ["gone.json", "log.jsonl", "study.yaml"]
    assert address_of(here / "report.html") == (there / "report.html").address
    (there / "runs/a/log.jsonl").write("second one")
    (there / "gone.json").delete()
    assert fetched(there.address, tmp_path) == here
    assert downloads[3:] == ["log.jsonl"]
    assert (here / "runs/a/log.jsonl").read_text() == "second one"
    assert not (here / "gone.json").exists()
    assert (fetched((there / "runs/a").address, tmp_path) / "checkpoint.pt").exists()  # of one run


def test_a_file_is_fetched_with_what_belongs_to_it(s3: S3Server, tmp_path: Path) -> None:
    there = Remote.of(s3.uri("reading/file"))
    for name in ("best.yaml", "plugin.py", "report.html", "runs/a/log.jsonl"):
        (there / name).write(name)
    path = fetched((there / "best.yaml").address, tmp_path)
    assert path.read_text() == "best.yaml"
    assert {each.name for each in path.parent.iterdir() if each.name[0] != "."} == {"best.yaml", "plugin.py"}
    assert fetched(path, tmp_path) == path
    with pytest.raises(UserError, match="nothing there"):
        fetched((there / "worst.yaml").address, tmp_path)


def test_a_working_copy_is_read_from_its_bucket(s3: S3Server, tmp_path: Path) -> None:
    there = Remote.of(s3.uri("reading/copy/study"))
    (there / "study.yaml").write("of another machine")
    root = working_copy_of(s3.uri("reading/copy"), tmp_path, setting="--results")
    assert folders(root) == [root / "study"]
    assert (as_it_stands(root / "study", tmp_path) / "study.yaml").read_text() == "of another machine"
    assert as_it_stands(root / "none", tmp_path) == root / "none"
    assert as_it_stands(tmp_path, tmp_path) == tmp_path
    page = root / "study" / "report.html"
    page.parent.mkdir()
    page.write_text("page")
    assert sent(page) == (there / "report.html").address
    assert s3.read("reading/copy/study/report.html") == "page"
