"""The text that PostgreSQL makes of an expression it keeps, brought into one form.

It is not always the text that it makes after it has read that text: what `status IN ('a', 'b')`
on a varchar column was reads otherwise once it was dumped and restored.
"""

from __future__ import annotations

from collections.abc import Iterator

_BEGINS = "(ARRAY["
_ENDS = "])::text[]"
_PAIRS = {"(": ")", "[": "]"}


def settle(text: str) -> str:
    """Return a definition as it reads after a dump and a restore.

    `(ARRAY['a'::character varying])::text[]` becomes `ARRAY[('a'::character varying)::text]`.
    """
    begin = text.find(_BEGINS)
    while begin != -1 and _ENDS in text:
        inside = begin + len(_BEGINS)
        *commas, end = _commas_and_end(text, inside)
        if text.startswith(_ENDS, end):
            starts = (inside, *(comma + 2 for comma in commas))
            ends = (*commas, end)
            elements = (f"({text[a:b]})::text" for a, b in zip(starts, ends, strict=True))
            text = f"{text[:begin]}ARRAY[{', '.join(elements)}]{text[end + len(_ENDS) :]}"
        begin = text.find(_BEGINS, begin + 1)
    return text


def _commas_and_end(text: str, begin: int) -> Iterator[int]:
    """Yield where the commas of a list are, of it alone, and at last where the list ends."""
    awaited: list[str] = []
    quote = ""
    for place in range(begin, len(text)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote else quote  # a doubled one opens again at once
        elif letter in "'\"":
            quote = letter
        elif letter in _PAIRS:
            awaited.append(_PAIRS[letter])
        elif awaited and letter == awaited[-1]:
            awaited.pop()
        elif not awaited and letter == ",":
            yield place
        elif not awaited and letter == "]":
            yield place
            return
    yield len(text)
