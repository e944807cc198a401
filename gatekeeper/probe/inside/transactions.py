"""What the driver and a statement's text say of a connection's transaction."""

from __future__ import annotations

import re
from typing import Any

IDLE, IN_TRANSACTION, FAILED_TRANSACTION = "idle", "in transaction", "failed"


def transaction_state(dbapi: Any) -> str:
    """Return what the driver says of the connection's transaction."""
    driver = getattr(dbapi, "_connection", dbapi)  # SQLAlchemy's async adapters
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:  # libpq's PQtransactionStatus; 4 is that of a broken connection
        return {0: IDLE, 3: FAILED_TRANSACTION, 4: IDLE}.get(int(status), IN_TRANSACTION)
    asks = getattr(driver, "is_in_transaction", None)  # asyncpg
    if asks is not None:
        return IN_TRANSACTION if asks() else IDLE
    status = getattr(driver, "_transaction_status", None)  # pg8000: the protocol's letter
    if isinstance(status, bytes):
        return {b"I": IDLE, b"E": FAILED_TRANSACTION}.get(status, IN_TRANSACTION)
    return IDLE if getattr(dbapi, "autocommit", False) else IN_TRANSACTION


def begins_transaction(dbapi: Any) -> bool:
    """Tell whether the driver opens a transaction for the next statement, where none is open.

    One that has begun a transaction does not notice that a text has ended it.
    """
    if getattr(dbapi, "autocommit", False):
        return False
    # SQLAlchemy's adapters of asyncpg, by their versions.
    if getattr(dbapi, "_started", False) or getattr(dbapi, "_transaction", None) is not None:
        return False
    return getattr(dbapi, "status", None) != 2  # psycopg2's own: 1 before BEGIN, 2 after it


FIRST_VERB = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(commit|end|rollback|abort)\b(?!\s+(?:to|prepared|work\s+to))",
    re.IGNORECASE | re.DOTALL,
)
LATER_VERB = re.compile(r";\s*(commit|rollback)\b(?!\s+(?:to|prepared))", re.IGNORECASE)


_LATER_COMMIT = re.compile(r";\s*(?:commit|end)\b", re.IGNORECASE)


def may_commit(sql: str) -> bool:
    """Tell whether a text may end the transaction that it runs in, also in its middle."""
    if "$" in sql:
        return transaction_verb(sql) is not None or "commit" in sql.lower()
    return transaction_verb(sql) is not None or _LATER_COMMIT.search(sql) is not None


def transaction_verb(sql: str) -> str | None:
    """Return "commit" or "rollback" where a text ends the transaction."""
    match = FIRST_VERB.match(sql)
    if match is None and "$" not in sql:  # a function body may hold such words
        match = LATER_VERB.search(sql)
    if match is None:
        return None
    return "commit" if match.group(1).lower() in ("commit", "end") else "rollback"
