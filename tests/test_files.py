"""Where files are to be written is looked at before anything is done for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.files import make_folder, require_folder, write_folder


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for _ in ("made", "there already"):
        make_folder(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []


def test_asking_for_a_folder_leaves_nothing(tmp_path: Path) -> None:
    require_folder(tmp_path / "a" / "b", ("plan.md",), "--output")
    assert list(tmp_path.iterdir()) == []


NO = "No such file or directory"


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        pytest.param("/proc", f"/proc: the folder cannot be written to: {NO}", id="closed"),
        pytest.param(
            "/proc/new/record",
            f"/proc/new/record: the folder cannot be made in /proc: {NO}",
            id="to be made in a closed one",
        ),
        pytest.param(
            "{tmp}/file",
            "{tmp}/file: the folder cannot be written to: Not a directory",
            id="a file",
        ),
        pytest.param(
            "{tmp}/file/a/b",
            "{tmp}/file/a/b: the folder cannot be made in {tmp}/file: Not a directory",
            id="below a file",
        ),
        pytest.param(
            "{tmp}/nowhere",
            f"{{tmp}}/nowhere: the folder cannot be written to: {NO}",
            id="a link to nothing",
        ),
        pytest.param(
            "{tmp}/" + "x" * 300,
            "{tmp}/" + "x" * 300 + ": the folder cannot be written to: File name too long",
            id="a name that is too long",
        ),
        pytest.param(
            "{tmp}/there",
            "{tmp}/there: the folder cannot be written to: `plan.md` is a folder there",
            id="a folder where a file is to be",
        ),
    ],
)
def test_a_folder_that_cannot_be_written_to(folder: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "there" / "plan.md").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError) as raised:
        require_folder(Path(folder.format(tmp=tmp_path)), ("plan.json", "plan.md"), "--record")
    assert str(raised.value) == (
        f"{told.format(tmp=tmp_path)}\nGive `--record` a folder that you may write to."
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_of_several_files_all_are_written_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "plan"
    write_folder(folder, {"plan.md": "a", "plan.json": "b"})
    assert {f.name: f.read_text() for f in folder.iterdir()} == {"plan.md": "a", "plan.json": "b"}
    with pytest.raises(ConfigError) as raised:
        write_folder(folder, {"plan.md": "new", "report.json": "\ud800"})  # no text of UTF-8
    assert raised.value.where == str(folder / "report.json")
    assert {f.name: f.read_text() for f in folder.iterdir()} == {"plan.md": "a", "plan.json": "b"}
