"""From a stack to a file and a line."""

from __future__ import annotations

import ast
import os
from typing import Any


class Places:
    """Tells the project's own files, and the folders of revisions among them."""

    def __init__(self, checkout: str) -> None:
        self.checkout = os.path.realpath(checkout)
        self.version_folders: set[str] = set()
        self.revision_file: str | None = None
        self._kinds: dict[str, str] = {}
        self._ends: dict[str, dict[int, int]] = {}

    def set_version_folders(self, folders: set[str]) -> None:
        if folders != self.version_folders:
            self.version_folders = folders
            self._kinds.clear()

    def of_stack(self, frame: Any) -> tuple[str, int] | None:
        """Return file and line of the innermost frame that says most, going outward."""
        frames = []
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename == self.revision_file:
                return filename, frame.f_lineno
            if self._kind(filename) != "library":
                frames.append((filename, frame.f_lineno))
            frame = frame.f_back
        return self._choose(frames)

    def of_traceback(self, error: BaseException) -> tuple[str, int] | None:
        """Return file and line of the innermost frame of a traceback that says most."""
        frames: list[tuple[str, int]] = []
        traceback = error.__traceback__
        while traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if self._kind(filename) != "library":
                frames.insert(0, (filename, traceback.tb_lineno))
            traceback = traceback.tb_next
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            frames.insert(0, (error.filename, error.lineno))
        return self._choose(frames)

    def _choose(self, frames: list[tuple[str, int]]) -> tuple[str, int] | None:
        """Take the revision's own frame, else one of the revisions' folders, else the first."""
        for filename, line in frames:
            if filename == self.revision_file:
                return filename, line
        for filename, line in frames:
            if self._kind(filename) == "revision":
                return filename, line
        return frames[0] if frames else None

    def _kind(self, filename: str) -> str:
        kind = self._kinds.get(filename)
        if kind is None:
            path = os.path.realpath(filename)
            inside = path.startswith(self.checkout + os.sep)
            if not inside or "site-packages" in path or filename.startswith("<"):
                kind = "library"
            elif os.path.dirname(path) in self.version_folders:
                kind = "revision"
            else:
                kind = "project"
            self._kinds[filename] = kind
        return kind

    def is_revision(self, filename: str) -> bool:
        return self._kind(filename) == "revision"

    def project_file_of(self, error: BaseException) -> str | None:
        """Return the innermost file of the project that is no revision and let an error pass."""
        found = None
        traceback = error.__traceback__
        while traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if self._kind(filename) == "project":
                found = self.relative(filename)
            traceback = traceback.tb_next
        return found

    def ends_in_library(self, error: BaseException) -> bool:
        traceback, filename = error.__traceback__, None
        while traceback is not None:
            filename, traceback = traceback.tb_frame.f_code.co_filename, traceback.tb_next
        return filename is not None and self._kind(filename) == "library"

    def has_module(self, name: str) -> bool:
        """Tell whether the checkout holds a module or package of that name somewhere."""
        top = name.split(".")[0]
        for folder, folders, files in os.walk(self.checkout):
            folders[:] = [f for f in folders if not f.startswith(".") and f != "site-packages"]
            if top + ".py" in files or (top in folders and _holds_python(folder, top)):
                return True
        return False

    def relative(self, filename: str) -> str:
        path = os.path.realpath(filename)
        if path.startswith(self.checkout + os.sep):
            path = os.path.relpath(path, self.checkout)
        return path.replace(os.sep, "/")

    def shortened(self, text: str) -> str:
        """Return a text with the paths of the checkout as the project's author knows them."""
        return text.replace(self.checkout + os.sep, "")

    def end_line(self, filename: str, line: int) -> int:
        """Return the last line of the call that begins on a line, or that holds it."""
        ends = self._ends.get(filename)
        if ends is None:
            ends = self._ends[filename] = _call_ends(filename)
        return ends.get(line, line)


def _holds_python(folder: str, name: str) -> bool:
    return any(entry.endswith(".py") for entry in os.listdir(os.path.join(folder, name)))


def _call_ends(filename: str) -> dict[int, int]:
    try:
        with open(filename, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return {}
    starts: dict[int, int] = {}
    inside: dict[int, int] = {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # Wide calls first, so that a line inside keeps the narrowest call around it.
    calls.sort(key=lambda call: call.lineno - (call.end_lineno or call.lineno))
    for call in calls:
        end = call.end_lineno or call.lineno
        starts[call.lineno] = max(end, starts.get(call.lineno, 0))
        for line in range(call.lineno + 1, end + 1):
            inside[line] = end
    return {**inside, **starts}
