"""The contract of ``Files``: the same for a folder and for object storage."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestrator.storage import Files, Place, S3Url, StorageError, StoredFile, StoredFolder, StoreLockedError, open_files
from orchestrator.storage.objects import ONE_REQUEST


@pytest.fixture
def files(place: Place) -> Files:
    return open_files(place)


def test_nothing_is_there_before_the_first_write(files: Files) -> None:
    assert not files.there()
    assert files.names("responses") == set()
    assert files.states("") == {}
    assert not files.exists("a")
    assert not files.delete("a")
    for missing in ("a", "responses/a.parquet"):
        with pytest.raises(FileNotFoundError):
            files.read(missing)
    with pytest.raises(FileNotFoundError):
        files.move("a", "b")


@pytest.mark.parametrize("content", [b"", b"x", b"caf\xc3\xa9\x00\n" * 1000])
def test_what_is_written_is_read(files: Files, content: bytes) -> None:
    files.write("responses/a.parquet", content)
    assert files.read("responses/a.parquet") == content
    assert files.read("responses/a.parquet", 3) == content[:3]
    assert files.exists("responses/a.parquet")
    assert files.there()
    files.write("responses/a.parquet", b"other")
    assert files.read("responses/a.parquet") == b"other"


def test_lines_are_put_behind_each_other(files: Files) -> None:
    files.append("ratings/anna.jsonl", b"1\n")
    files.append("ratings/anna.jsonl", b"2\n")
    assert files.read("ratings/anna.jsonl") == b"1\n2\n"


def test_half_a_line_is_ended_and_a_refused_one_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"whole\nhal")
    files = open_files(tmp_path)
    files.append("a", b"2\n")
    assert files.read("a") == b"whole\nhal\n2\n"
    written = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: written(handle, content[:1]))
    with pytest.raises(StorageError, match="free some space"):
        files.append("a", b"3\n")
    monkeypatch.undo()
    assert files.read("a") == b"whole\nhal\n2\n"


@pytest.mark.parametrize("size", [ONE_REQUEST, ONE_REQUEST + 1, 3 * ONE_REQUEST])
def test_large_files(files: Files, size: int) -> None:
    content = os.urandom(size)
    files.write("a", content)
    assert files.read("a") == content
    assert files.names("") == {"a"}
    assert files.states("")["a"].size == size
    assert files.names(".uploads") == set()


def test_names_are_those_of_files_directly_in_a_folder(files: Files) -> None:
    for name in ("plan.json", "responses/a.parquet", "responses/b.parquet", "labels/a.parquet", "responses2/c"):
        files.write(name, b"1")
    assert files.names("responses") == {"a.parquet", "b.parquet"} == set(files.states("responses"))
    assert files.names("") == {"plan.json"}
    assert files.names("response") == set()
    assert files.delete("responses/b.parquet")
    assert not files.delete("responses/b.parquet")
    assert files.names("responses") == {"a.parquet"}


def test_more_names_than_a_page_of_a_listing_holds(files: Files) -> None:
    wanted = {f"cell-{number:04d}.parquet" for number in range(1001 if isinstance(files.place, S3Url) else 10)}
    for name in wanted:
        files.write(f"responses/{name}", b"")
    assert files.names("responses") == wanted


def test_a_stream_is_written_when_it_is_whole_and_new(files: Files) -> None:
    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        files.write_stream("a", half)
    assert not files.exists("a")
    assert files.write_stream("a", lambda file: file.write(b"x" * 2_500_000))
    assert not files.write_stream("a", lambda file: file.write(b"x" * 2_500_000))
    with pytest.raises(KeyError):
        files.write_stream("a", half)
    assert files.read("a") == b"x" * 2_500_000
    assert files.write_stream("a", lambda file: file.write(b"x" * 2_499_999 + b"y"))
    assert files.write_stream("a", lambda file: file.write(b""))
    assert files.read("a") == b""
    large = os.urandom(ONE_REQUEST + 7)
    assert files.write_stream("a", lambda file: file.write(large))
    assert files.read("a") == large
    assert files.names("") == {"a"}


def test_a_stream_that_cannot_be_prepared_is_a_storage_error(files: Files) -> None:
    def full(file: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"No space left on device.*free some space"):
        files.write_stream("a", full)
    assert not files.exists("a")


def test_a_moved_file(files: Files) -> None:
    files.write("responses/a", b"1")
    files.move("responses/a", "quarantine/responses-a")
    assert (files.names("responses"), files.names("quarantine")) == (set(), {"responses-a"})
    assert files.read("quarantine/responses-a") == b"1"


def test_the_state_tells_a_new_version(files: Files) -> None:
    files.write("a", b"1")
    first = files.states("")["a"]
    assert files.states("")["a"] == first
    files.write("a", b"22")
    assert files.states("")["a"] != first


def test_a_listing_beside_a_writer_loses_no_file_and_finds_none_that_is_gone(tmp_path: Path) -> None:
    """The heartbeat writes while the tables are made: its temporary file comes and goes."""
    files, over = open_files(tmp_path), threading.Event()
    files.write("kept", b"x")

    def beat() -> None:
        while not over.is_set():
            files.write("driver.json", b"{}")

    writer = threading.Thread(target=beat)
    writer.start()
    try:
        assert all("kept" in files.states("") for _ in range(3000))
    finally:
        over.set()
        writer.join()


def test_handles(place: Place) -> None:
    files = open_files(place)
    file = StoredFile(files, "control/pause")
    assert (str(file), file.name, file.folder) == (f"{place}/control/pause", "pause", "control")
    assert file.state() is None
    assert file.write_if_changed(b"1")
    assert not file.write_if_changed(b"1")
    assert file.state() == files.states("control")["pause"]
    assert StoredFile(open_files(place), "control/pause") == file == StoredFolder(files, "control") / "pause"
    assert (file.read_text(), file.exists()) == ("1", True)
    assert file.delete()
    assert StoredFile(files, "plan.json").folder == ""


def test_one_driver(place: Place) -> None:
    here, elsewhere = open_files(place), open_files(place)
    with here.exclusive():
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()}"), elsewhere.exclusive():
            pytest.fail("two drivers")
        here.write("a", b"1")
    with elsewhere.exclusive():
        assert elsewhere.read("a") == b"1"
    with pytest.raises(KeyError), here.exclusive():
        raise KeyError("inside")
    with here.exclusive():
        pass


def test_of_many_drivers_that_start_at_once_at_most_one_works(place: Place) -> None:
    working: set[int] = set()
    most: list[int] = [0]
    others: list[Exception] = []
    start, last = threading.Barrier(4, timeout=60), threading.Barrier(4, timeout=60)

    def drive(number: int) -> None:
        start.wait()
        try:
            with open_files(place).exclusive():
                working.add(number)
                most.append(len(working))
                last.wait()
                working.discard(number)
        except StoreLockedError:
            last.wait()
        except (OSError, threading.BrokenBarrierError) as error:
            others.append(error)
            last.abort()

    threads = [threading.Thread(target=drive, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert others == []
    assert max(most) <= 1
    with open_files(place).exclusive():
        pass


def test_what_a_killed_writer_left_is_removed(place: Place) -> None:
    files = open_files(place)
    files.write("responses/a.parquet", b"1")
    if isinstance(place, Path):
        left = place / "responses" / ".b.parquet.4711.tmp"
        left.write_bytes(b"half")
    else:
        files.write(".uploads/b", b"half")
    with files.exclusive():
        files.clean(["", "responses"])
    assert files.names("responses") == {"a.parquet"}
    assert files.names(".uploads") == set()


def test_the_folder_for_what_only_this_machine_needs(place: Place) -> None:
    local = open_files(place).local
    assert isinstance(local, Path)
    assert local == place or isinstance(place, S3Url)
    assert open_files(place).local == local
