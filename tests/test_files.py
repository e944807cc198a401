"""Where files are to be written is looked at before anything is done for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.files import make_folder


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for _ in ("made", "there already"):
        make_folder(tmp_path / "a" / "b")
        assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc", "/proc/record"])
def test_a_folder_that_cannot_be_written_to(folder: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make_folder(Path(folder), "--record")
    assert str(raised.value) == (
        f"{folder}: the folder cannot be written to: No such file or directory\n"
        "Give `--record` a folder that you may write to."
    )
