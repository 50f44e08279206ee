"""Of two commands that want a folder in a bucket, one gets it."""

import threading

import pytest
from support.s3_server import S3Server

from curriculum_search.loading import UserError
from curriculum_search.storage import claim as claims
from curriculum_search.storage.claim import Claim, ClaimLostError, claimed
from curriculum_search.storage.remote import Remote


def test_a_second_command_is_kept_out_until_the_first_has_ended(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.5)
    folder = Remote.of(s3.uri("claim/two"))
    with (
        claimed(folder, "first") as first,
        pytest.raises(UserError, match=r"another command is at work there \(process \d+ on .*\)"),
        claimed(folder, "second"),
    ):
        pass
    first.release()
    with claimed(folder, "second") as second:
        second.check()
    assert not s3.names("claim/two")


def test_one_that_was_killed_gives_way_and_finds_out(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims, "EXPIRY_SECONDS", 2.0)
    folder = Remote.of(s3.uri("claim/killed"))
    cut_off = Claim(folder, "cut-off")
    monkeypatch.setattr(cut_off, "_beat", lambda: None)
    cut_off.take()
    cut_off._ended.set()  # It writes its claim no more.
    with claimed(folder, "next"), pytest.raises(ClaimLostError, match="another command has taken it over"):
        cut_off.check()
    assert "was at work there; waiting for up to 2 s" in capsys.readouterr().out


def test_the_same_working_copy_goes_on_at_once(s3: S3Server) -> None:
    folder = Remote.of(s3.uri("claim/same"))
    Claim(folder, "copy")._write()  # as a kill leaves it
    with claimed(folder, "copy") as claim:
        claim.check()


def test_of_several_that_come_at_once_never_two_are_at_work(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.5)
    monkeypatch.setattr(claims, "_LOOK_SECONDS", 0.3)
    folder = Remote.of(s3.uri("claim/race"))
    at_work, most = [0], [0]
    lock, done = threading.Lock(), threading.Event()

    def work(name: str) -> None:
        try:
            with claimed(folder, name):
                with lock:
                    at_work[0] += 1
                    most[0] = max(most[0], at_work[0])
                done.wait(2.5)
                with lock:
                    at_work[0] -= 1
        except UserError:
            pass

    threads = [threading.Thread(target=work, args=(f"copy-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 1
