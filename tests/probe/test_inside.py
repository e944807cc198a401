"""The folder that runs in the project's interpreter: what it may contain, and parts of it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from gatekeeper.probe import inside
from gatekeeper.probe.inside.places import Places
from gatekeeper.probe.inside.transactions import transaction_verb

FILES = sorted(Path(inside.__file__).parent.glob("*.py"))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


@each_file
def test_is_syntax_of_python_3_8(file):
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 8))


@each_file
def test_has_no_parenthesized_context_managers(file):
    """Python 3.8 parses them, as a tuple."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With):
            first = source.splitlines()[node.lineno - 1].rstrip()
            assert not first.endswith("("), node.lineno


@each_file
def test_imports_itself_and_the_standard_library_only(file):
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, "nothing above the folder is there when it runs"
    assert names - {"__future__"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("SELECT 1", None),
        ("CREATE TABLE commit_log (id int)", None),
        ("ROLLBACK TO SAVEPOINT s", None),
        ("ROLLBACK TO s", None),
        ("COMMIT PREPARED 'x'", None),
        ("DO $$ BEGIN DELETE FROM t; COMMIT; END $$", None),
        ("CREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql", None),
        ("COMMIT", "commit"),
        ("  commit;", "commit"),
        ("-- now\nEND", "commit"),
        ("/* now */ ROLLBACK", "rollback"),
        ("ABORT", "rollback"),
        ("UPDATE t SET a = 1; COMMIT; VACUUM t", "commit"),
    ],
)
def test_texts_that_end_a_transaction(sql, verb):
    assert transaction_verb(sql) == verb


def test_last_line_of_a_call(tmp_path):
    file = tmp_path / "a001.py"
    file.write_text(
        "op.execute('x')\n"
        "op.create_table(\n"
        "    'users',\n"
        "    sa.Column(\n"
        "        'id'\n"
        "    ),\n"
        ")\n"
        "for name in names:\n"
        "    op.drop_table(name)\n"
    )
    places = Places(str(tmp_path))
    ends = [places.end_line(str(file), line) for line in range(1, 10)]
    assert ends == [1, 7, 7, 6, 6, 6, 7, 8, 9]


def test_last_line_where_nothing_can_be_parsed(tmp_path):
    file = tmp_path / "a001.py"
    file.write_text("def\n")
    assert Places(str(tmp_path)).end_line(str(file), 3) == 3
