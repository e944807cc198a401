"""An error says what happened, where, and how to fix it."""

from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError, GatekeeperError


@pytest.mark.parametrize(
    ("error", "text", "sentence"),
    [
        (GatekeeperError("it stopped"), "it stopped", "it stopped"),
        (GatekeeperError("it stopped", where="env.py:3"), "env.py:3: it stopped", None),
        (
            ConfigError("No branch is known.", where="shop", fix="Say `--base REF`."),
            "shop: No branch is known.\nSay `--base REF`.",
            "shop: No branch is known. Say `--base REF`",
        ),
        (
            GatekeeperError("it died; it printed last:\n    one\n    two", fix="Look."),
            "it died; it printed last:\n    one\n    two\nLook.",
            "it died; it printed last: one two. Look",
        ),
    ],
)
def test_an_error_as_lines_and_as_a_sentence(
    error: GatekeeperError, text: str, sentence: str | None
) -> None:
    assert str(error) == text
    assert error.sentence == (text if sentence is None else sentence)
