from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.policy.document import MAX_BYTES, key_path, read_document


@pytest.mark.parametrize(
    ("text", "data"),
    [
        pytest.param("", {}, id="an empty file"),
        pytest.param("# version: 1\n", {}, id="only a comment"),
        pytest.param("---\n", {}, id="an empty document"),
        pytest.param("checks:\nversion: 1\n", {"version": 1}, id="a key with nothing after it"),
        pytest.param("a: off", {"a": "off"}, id="off is a word"),
        pytest.param("a: {on: x, off: y}", {"a": {"on": "x", "off": "y"}}, id="on, off as keys"),
        pytest.param("a: [yes, No, ON]", {"a": ["yes", "No", "ON"]}, id="other words of YAML 1.1"),
        pytest.param("a: [true, false]", {"a": [True, False]}, id="booleans"),
        pytest.param("a: [True, TRUE]", {"a": ["True", "TRUE"]}, id="spelled otherwise: text"),
        pytest.param("a: [16, -3, 0]", {"a": [16, -3, 0]}, id="whole numbers"),
        pytest.param('a: "16"', {"a": "16"}, id="a quoted number"),
        pytest.param("a: [3.10, 1e5]", {"a": ["3.10", "1e5"]}, id="no floating point"),
        pytest.param("a: [00123, 0x1f]", {"a": ["00123", "0x1f"]}, id="revision identifiers"),
        pytest.param("a: [1_000, 12:30]", {"a": ["1_000", "12:30"]}, id="odd integers of YAML"),
        pytest.param("a: 2027-01-31", {"a": "2027-01-31"}, id="no dates"),
        pytest.param(f"a: {'9' * 30}", {"a": "9" * 30}, id="a very long number"),
        pytest.param("a: [~, null, ]", {"a": [None, None]}, id="null"),
        pytest.param("16: x", {"16": "x"}, id="a number as a key"),
        pytest.param("a: &x [1]\nb: *x", {"a": [1], "b": [1]}, id="an alias"),
        pytest.param("a: |\n  b\n  c\n", {"a": "b\nc\n"}, id="a block of lines"),
    ],
)
def test_yaml_becomes_plain_data(text: str, data: dict[str, object]) -> None:
    assert read_document("p.yml", text).data == data


def test_every_key_and_entry_knows_its_line() -> None:
    document = read_document("p.yml", "# why\na:\n  - b: 1\n    c: [x,\n      y]\nd: 2\n")
    assert document.where(("a",)) == "p.yml:2"
    assert document.where(("a", 0)) == "p.yml:3"
    assert document.where(("a", 0, "c")) == "p.yml:4"
    assert document.where(("a", 0, "c", 1)) == "p.yml:5"
    assert document.where(("a", 0, "not there")) == "p.yml:3"
    assert document.where(("not there",)) == "p.yml:2"


def test_a_key_path_is_written_as_people_write_it() -> None:
    assert key_path(("overrides", 0, "checks", "not-atomic")) == "overrides[0].checks.not-atomic"


_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "checks:\n\tdowngrade-missing: off\n",
            r"p.yml:2: this is not YAML that can be read: found character '\t' that cannot start"
            " any token.\nIndent with spaces: YAML does not allow tabs.",
            id="a tab",
        ),
        pytest.param(
            "a: [1, 2\nb: 3\n",
            "p.yml:2: this is not YAML that can be read: expected ',' or ']', but got ':'.\n"
            "Look at the quotes, brackets and indentation of this line and the one before it.",
            id="a bracket that is not closed",
        ),
        pytest.param(
            "a: 1\nb: {a: 1,\n  a: 2}\n",
            "p.yml:3: `b.a` is given twice, first on line 2.\nKeep one of the two.",
            id="a key given twice",
        ),
        pytest.param(
            "a: 1\na: 1\n",
            "p.yml:2: `a` is given twice, first on line 1.\nKeep one of the two.",
            id="twice the same",
        ),
        pytest.param(
            "# a list\n- a\n",
            "p.yml:2: the file does not hold a mapping of keys to values.\n"
            "Begin it with `version: 1`, then one `key: value` a line.",
            id="a list",
        ),
        pytest.param(
            "recommended\n",
            "p.yml:1: the file does not hold a mapping of keys to values.\n"
            "Begin it with `version: 1`, then one `key: value` a line.",
            id="a word",
        ),
        pytest.param(
            "? [a]\n: 1\n",
            "p.yml:1: a key is not a word.\nWrite `key: value` with a plain word before the colon.",
            id="a list as a key",
        ),
        pytest.param(
            "a: !!python/object/apply:os.system [id]\n",
            "p.yml:1: this is not YAML that can be read: the tag"
            " tag:yaml.org,2002:python/object/apply:os.system is not read.\n"
            "Write plain values: one document, no tags, few levels.",
            id="a tag that would run code",
        ),
        pytest.param(
            "a: 1\n---\nb: 1\n",
            "p.yml:2: this is not YAML that can be read: but found another document.\n"
            "Write plain values: one document, no tags, few levels.",
            id="two documents",
        ),
        pytest.param(
            "a: *b\n",
            "p.yml:1: this is not YAML that can be read: found undefined alias 'b'.\n"
            "Write plain values: one document, no tags, few levels.",
            id="an alias of nothing",
        ),
        pytest.param(
            "a: 1\nb: \x07\n",
            "p.yml:2: this is not YAML: it holds the control character U+0007.\n"
            "Remove it, or write it as an escape in a double-quoted text.",
            id="a control character",
        ),
        pytest.param(
            'a: 1\nb: "x\\0y"\n',
            "p.yml:2: an escape stands for U+0000, which is no character of a text.\nTake it out.",
            id="an escape for no character",
        ),
        pytest.param(
            '"a\\ud800": 1\n',
            "p.yml:1: an escape stands for U+D800, which is no character of a text.\nTake it out.",
            id="a key with half a character",
        ),
        pytest.param(
            "a: " + "[" * 30_000,
            "p.yml:1: this is not YAML that can be read: nested deeper than 20 levels.\n"
            "Write plain values: one document, no tags, few levels.",
            id="nested deeply",
        ),
        pytest.param(
            _BOMB,
            "p.yml:1: the file unfolds to more than 5000 values or 20 levels.\n"
            "Use fewer aliases (`*name`).",
            id="a billion laughs",
        ),
        pytest.param(
            "a: &a [*a]\n",
            "p.yml:1: the file unfolds to more than 5000 values or 20 levels.\n"
            "Use fewer aliases (`*name`).",
            id="an alias of itself",
        ),
        pytest.param(
            "#" * (MAX_BYTES + 1),
            "p.yml: the file is larger than 64 KiB.\n"
            "Move generated parts elsewhere; a policy is read by people.",
            id="a large file",
        ),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_document("p.yml", text)
    assert str(caught.value) == sentence
