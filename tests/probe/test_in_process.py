"""Parts of the file that runs in the project's interpreter, and what it may contain."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from gatekeeper.probe import in_process
from gatekeeper.probe.in_process import Places, transaction_verb

SOURCE = Path(in_process.__file__).read_text(encoding="utf-8")


def test_is_syntax_of_python_3_8():
    ast.parse(SOURCE, feature_version=(3, 8))


def test_has_no_parenthesized_context_managers():
    """Python 3.8 parses them, as a tuple."""
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.With):
            first = SOURCE.splitlines()[node.lineno - 1].rstrip()
            assert not first.endswith("("), node.lineno


def test_imports_the_standard_library_only():
    names = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
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
