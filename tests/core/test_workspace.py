"""What is written is there whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from recommender.workspace import Workspace, replace_folder, write_bytes_atomically


def test_a_reader_never_sees_a_part_of_a_write(tmp_path: Path) -> None:
    path, size = tmp_path / "file", 300_000
    write_bytes_atomically(path, b"0" * size)
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            data = path.read_bytes()
            seen.add((len(data), len(set(data))))

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(1, 40):
        write_bytes_atomically(path, str(version % 10).encode() * size)
    done.set()
    reader.join()
    assert seen == {(size, 1)}  # always the whole length, always one version's bytes
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_bytes_atomically(tmp_path / "a" / "b" / "file", b"x")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"x"


def test_a_failed_write_leaves_the_old_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_bytes_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"


def test_a_finished_folder_takes_the_place_of_the_older_one(tmp_path: Path) -> None:
    built, final = tmp_path / "built", tmp_path / "final"
    for content in ("one", "two"):
        built.mkdir()
        (built / content).write_text(content)
        replace_folder(built, final)
        assert [entry.name for entry in final.iterdir()] == [content]
    assert [entry.name for entry in tmp_path.iterdir()] == ["final"]


def test_what_a_crash_left_behind_does_not_block_the_next_swap(tmp_path: Path) -> None:
    (tmp_path / ".final.retired").mkdir()
    (tmp_path / ".final.retired" / "rest").write_text("")
    for name in ("final", "built"):
        (tmp_path / name).mkdir()
    replace_folder(tmp_path / "built", tmp_path / "final")
    assert [entry.name for entry in tmp_path.iterdir()] == ["final"]


def test_every_path_lies_under_the_one_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    values = [getattr(workspace, name) for name, value in vars(Workspace).items() if isinstance(value, property)]
    paths = [value for value in values if isinstance(value, Path)]
    assert all(path.is_relative_to(tmp_path) and path != tmp_path for path in paths)
    assert len(set(paths)) == len(paths)


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEXTBEST_HOME", raising=False)
    assert Workspace.from_environment().root == tmp_path / ".nextbest"
    monkeypatch.setenv("NEXTBEST_HOME", "elsewhere")
    assert Workspace.from_environment().root == tmp_path / "elsewhere"
