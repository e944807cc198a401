"""Reporters: one function a format, from a report to its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gatekeeper.model import Report
from gatekeeper.reporters import github, json, markdown, terminal
from gatekeeper.reporters.context import RenderContext

Reporter = Callable[[Report, RenderContext], str]

REPORTERS: Mapping[str, Reporter] = {
    "terminal": terminal.render,
    "json": json.render,
    "markdown": markdown.render,
    "github": github.render,
}

__all__ = ["REPORTERS", "RenderContext", "Reporter"]
