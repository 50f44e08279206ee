"""A folder in a bucket, on a real S3 server."""

from pathlib import Path

import pytest
from support.s3_server import BUCKET, S3Server

from curriculum_search.loading import UserError
from curriculum_search.storage.remote import Remote, download_all, is_address


def test_an_address_is_told_from_a_path() -> None:
    assert is_address("s3://bucket/path")
    assert is_address("hdfs://host:8020/path")
    assert not is_address("results")
    assert not is_address("/data/s3:/results")


def test_a_file_is_there_as_it_was_written_until_it_is_removed(s3: S3Server, tmp_path: Path) -> None:
    folder = Remote.of(s3.uri("remote/with space"))
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10_000_000)  # more than one part of an upload
    with source.open("rb") as file:
        (folder / "a/100 % ünder?.bin").upload(file)
    (folder / "b.txt").write("text")
    assert {name: size for name, (size, _) in folder.versions().items()} == {
        "a/100 % ünder?.bin": 10_000_000,
        "b.txt": 4,
    }
    assert set(folder.versions(recursive=False)) == {"b.txt"}
    assert folder.folders() == ["a"]
    (folder / "b.txt").copy_to(folder / "c.txt")
    download_all({tmp_path / "x/1": folder / "a/100 % ünder?.bin", tmp_path / "x/2": folder / "c.txt"})
    assert (tmp_path / "x/1").read_bytes() == source.read_bytes()
    assert (tmp_path / "x/2").read_text() == "text"
    (folder / "b.txt").delete()
    (folder / "b.txt").delete()
    assert (folder / "b.txt").version() is None
    assert (folder / "b.txt").read() is None
    assert Remote.of((folder / "c.txt").address) == folder / "c.txt"


def test_what_can_be_no_bucket_is_said_in_one_message(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(address: str) -> str:
        with pytest.raises(UserError) as error:
            Remote.of(address, setting="--results").check(setting="--results")
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "allowed are a folder, abfs://" in message("ftp://host/path")
    assert "has no path: it is to be like s3://bucket/path" in message(s3.uri().replace("/?", "?"))
    assert "there is no bucket nowhere" in message(s3.uri("results", bucket="nowhere"))
    assert "AWS_ACCESS_KEY_ID" in message("s3://key:secret@bucket/path")
    assert "nonsense" in message(s3.uri("results") + "&nonsense=1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "lets nobody in" in message(s3.uri("results").replace("us-east-1", "us-west-1"))  # not opened yet
    assert BUCKET in s3.uri()
