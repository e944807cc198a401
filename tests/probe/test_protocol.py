"""Answers that do not fit are refused, not filled in."""

from __future__ import annotations

import pytest

from gatekeeper.model import StepError
from gatekeeper.probe.model import Fate, ProbeStatement, Target
from gatekeeper.probe.protocol import (
    ProtocolError,
    decode,
    encode,
    read_error,
    read_fate,
    read_fates,
    read_statement,
)

STATEMENT = {
    "ordinal": 1,
    "sql": "SELECT 1",
    "parameters": None,
    "path": "migrations/versions/a001.py",
    "line": 3,
    "end_line": 4,
    "connection": 1,
    "transaction": 2,
    "seconds": 1,
    "rows": None,
    "executions": 1,
    "observed": [["public.users", None]],
    "failed": False,
}


def test_statement_is_read():
    assert read_statement(decode(encode(STATEMENT)), Fate.OPEN) == ProbeStatement(
        ordinal=1,
        sql="SELECT 1",
        parameters=None,
        path="migrations/versions/a001.py",
        line=3,
        end_line=4,
        connection=1,
        transaction=2,
        seconds=1.0,
        rows=None,
        executions=1,
        observed=(("public.users", None),),
        fate=Fate.OPEN,
        failed=False,
    )


def test_error_is_read():
    message = {"type": "X", "message": "y", "sqlstate": "42P01", "path": "a.py", "line": 3}
    assert read_error(message) == StepError("X", "y", "42P01", None, "a.py", 3)
    assert read_error(None) is None


def test_an_error_reads_the_same_at_each_run() -> None:
    message = {"type": "CompileError", "message": "constraint Key(<a.B object at 0x7f31dd>) at 0x7"}
    error = read_error(message)
    assert error is not None
    assert error.message == "constraint Key(<a.B object>) at 0x7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ordinal": "1"}, "ordinal is str, not int"),
        ({"ordinal": True}, "ordinal is bool, not int"),
        ({"sql": None}, "sql is missing"),
        ({"observed": [[1]]}, "observed holds something else than rows of text"),
        ({"observed": ["x"]}, "observed holds something else than rows of text"),
        ({"seconds": "fast"}, "seconds is str, not float"),
        ({"seconds": float("inf")}, "seconds is no finite number"),
        ({"seconds": float("nan")}, "seconds is no finite number"),
        ({"seconds": 10**400}, "seconds is no finite number"),
    ],
)
def test_statement_that_does_not_fit(change, message):
    with pytest.raises(ProtocolError, match=message):
        read_statement({**STATEMENT, **change}, None)


@pytest.mark.parametrize(
    "line", [b"done\n", b"[]\n", b'"x"\n', b"\xff\n", b"[" * 100_000, b"9" * 5000]
)
def test_line_that_is_no_object(line):
    with pytest.raises(ProtocolError):
        decode(line)


def test_fates_are_read_by_number():
    fates = {"1": "committed", "20": "open"}
    assert read_fates({"fates": fates}) == {1: Fate.COMMITTED, 20: Fate.OPEN}


@pytest.mark.parametrize("number", ["x", "", "-1", "٣", "9" * 5000])
def test_transaction_that_is_none(number):
    with pytest.raises(ProtocolError, match="numbers no transaction"):
        read_fates({"fates": {number: "committed"}})


@pytest.mark.parametrize("fate", ["lost", None, 3])
def test_fate_that_is_none(fate):
    with pytest.raises(ProtocolError):
        read_fate(fate)


def test_secrets_are_not_shown():
    shown = repr(Target("h", 1, "u", "pass-word", "d", "mark-er"))
    assert "pass-word" not in shown
    assert "mark-er" not in shown
