"""Prints what a catalog snapshot costs beside `pg_dump --schema-only`.

    python tests/benchmarks/snapshot_against_dump.py

The schema is of the size that real projects have: 100 tables with keys, indexes, comments
and defaults, a few views, enums, functions and triggers. A snapshot is measured on a new
connection (after a clone, PostgreSQL has to read the catalog anew) and on a warm one.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.installations import choose_account, find_installations
from gatekeeper.postgres.servers import start_server
from gatekeeper.postgres.snapshot import take_snapshot

ROUNDS = 11


def schema(tables: int = 100) -> str:
    """Return the DDL of the measured schema."""
    parts = [
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.updated := now(); RETURN NEW; END';"
    ]
    for i in range(tables):
        parts.append(
            f"CREATE TABLE t{i} (id bigserial PRIMARY KEY, code varchar(40) NOT NULL UNIQUE,"
            f" name text, amount numeric(12, 2) NOT NULL DEFAULT 0 CHECK (amount >= 0),"
            f" kind int REFERENCES t{max(i - 1, 0)}, parent bigint REFERENCES t0,"
            f" data jsonb NOT NULL DEFAULT '{{}}', is_active boolean NOT NULL DEFAULT true,"
            f" created timestamptz NOT NULL DEFAULT now(), updated timestamptz);"
            f"CREATE INDEX ON t{i} (kind); CREATE INDEX ON t{i} (parent) WHERE is_active;"
            f"COMMENT ON TABLE t{i} IS 'table {i}'; COMMENT ON COLUMN t{i}.code IS 'unique';"
        )
        if i % 10 == 0:
            parts.append(
                f"CREATE VIEW v{i} AS SELECT id, code, amount FROM t{i} WHERE is_active;"
                f"CREATE TYPE e{i} AS ENUM ('a', 'b', 'c');"
                f"CREATE FUNCTION f{i}(x int) RETURNS int LANGUAGE sql AS 'SELECT x';"
                f"CREATE TRIGGER touch BEFORE UPDATE ON t{i} FOR EACH ROW"
                f" EXECUTE FUNCTION touch();"
            )
    return "".join(parts).replace("kind int", "kind bigint")


def median_milliseconds(action: Callable[[], object]) -> float:
    """Return the median duration of an action."""
    durations = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        action()
        durations.append((time.perf_counter() - started) * 1000)
    return statistics.median(durations)


def measure(database: Database, pg_dump: str) -> tuple[float, float, float]:
    """Return the medians of a dump, a snapshot on a new and one on a warm connection."""
    server = database.server
    command = [pg_dump, "--schema-only", "-h", server.host, "-p", str(server.port)]
    command += ["-U", server.user, database.name]
    environment = {**os.environ, "PGPASSWORD": server.password}

    def dump() -> None:
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)

    def snapshot_anew() -> None:
        with contextlib.closing(database.connect()) as connection:
            take_snapshot(connection)

    with contextlib.closing(database.connect()) as warm:
        return (
            median_milliseconds(dump),
            median_milliseconds(snapshot_anew),
            median_milliseconds(lambda: take_snapshot(warm)),
        )


def main() -> None:
    """Measure on each PostgreSQL of this machine."""
    for installation in find_installations(choose_account(None)):
        with start_server(installation) as server, open_database(server) as database:
            with contextlib.closing(database.connect()) as connection:
                connection.cursor().execute(schema())
                objects = len(take_snapshot(connection).objects)
            dump, anew, warm = measure(database, str(installation.bin / "pg_dump"))
        sys.stdout.write(
            f"PostgreSQL {installation.version}, {objects} objects: pg_dump {dump:.1f} ms, "
            f"snapshot {warm:.1f} ms (ratio {warm / dump:.2f}), "
            f"on a new connection {anew:.1f} ms (ratio {anew / dump:.2f})\n"
        )


if __name__ == "__main__":
    main()
