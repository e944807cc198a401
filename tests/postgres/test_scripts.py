"""SQL files of a policy: those that people write, and real dumps of `pg_dump`."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.model import ServerSource
from gatekeeper.postgres.databases import Database, create_database, drop_database, open_database
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.scripts import restore_script, run_script
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import take_snapshot
from tests.servers import OWN, Place

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

PRODUCTION = """
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE TYPE shop.status AS ENUM ('new', 'it''s; done');
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext NOT NULL UNIQUE,
    status shop.status DEFAULT 'new' NOT NULL, note text CHECK (note <> E'\\\\.')
);
CREATE INDEX ix_note ON shop.orders USING gin (note gin_trgm_ops);
COMMENT ON TABLE shop.orders IS 'Kept;
for ever';
CREATE FUNCTION shop.total() RETURNS bigint LANGUAGE sql
    BEGIN ATOMIC SELECT count(*) FROM shop.orders; END;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.note = 'a;b' THEN RETURN NULL; END IF;
    RETURN NEW;
END
$body$;
CREATE TRIGGER touch BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.orders OWNER TO shop_owner;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.orders TO "shop reader" USING (true);
GRANT SELECT ON shop.orders TO "shop reader";
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop GRANT SELECT ON TABLES TO shop_audit;
CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO public.alembic_version VALUES ('a003');
"""
ROLES = ("shop_owner", '"shop reader"', "shop_audit")


@contextlib.contextmanager
def production(server: Server) -> Iterator[Database]:
    with open_database(server) as database:
        with database.session() as connection:
            cursor = connection.cursor()
            for role in ROLES:
                cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role.strip('"'),))
                if not cursor.fetchall():
                    cursor.execute(f"CREATE ROLE {role}")
            cursor.execute(PRODUCTION)
        yield database


def dump(installation: Installation, database: Database, *options: str) -> str:
    """Return what a person gets who follows the message: the schema, then the version."""
    server = database.server
    address = ["-h", server.host, "-p", str(server.port), "-U", server.user, database.name]
    return subprocess.run(
        [installation.bin / "pg_dump", *options, *address],
        env={**os.environ, "PGPASSWORD": server.password, "PGSSLMODE": "disable"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture(scope="module")
def dumps(
    installations: dict[Place, Installation],
    start_once: Callable[[Place], Server | None],
) -> Iterator[dict[Place, str]]:
    """The dump of the same database by each PostgreSQL of this machine's own.

    Its roles, which all databases of a server share, are gone after the tests.
    """
    made: dict[Place, str] = {}
    for source in OWN:
        server = start_once(source)
        if server is None:
            continue
        with production(server) as database:
            program = installations[source]
            schema = dump(program, database, "--schema-only")
            version = dump(program, database, "--data-only", "--table=*.alembic_version")
        made[source] = schema + version
    yield made
    for source in made:
        server = start_once(source)
        assert server is not None
        for role in ROLES:
            server.administer(f"DROP ROLE {role}")


@contextlib.contextmanager
def restored(server: Server, path: Path) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:

        def new_database() -> Database:
            database = create_database(server)
            stack.callback(drop_database, database)
            return database

        yield restore_script(path, new_database)


@pytest.mark.parametrize("source", [ServerSource.INSTALLED, ServerSource.EMBEDDED])
@pytest.mark.parametrize(
    "server", [ServerSource.INSTALLED, ServerSource.EMBEDDED], indirect=True, ids=str
)
def test_a_dump_of_production_runs_as_it_comes(
    source: ServerSource,
    server: Server,
    dumps: dict[Place, str],
    installations: dict[Place, Installation],
    tmp_path: Path,
) -> None:
    """Also on another major, and where none of its roles exists."""
    if source not in dumps:
        pytest.skip(f"no PostgreSQL: {source.value}")
    text = dumps[source]
    assert "OWNER TO shop_owner" in text
    assert "COPY public.alembic_version (version_num) FROM stdin;" in text
    assert ("SET transaction_timeout = 0;" in text) == (installations[source].major >= 17)
    path = tmp_path / "schema.sql"
    path.write_text(text)
    with restored(server, path) as database:
        with database.session() as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT version_num FROM public.alembic_version")
            assert cursor.fetchall() == [("a003",)]
            cursor.execute(
                "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'orders'"
            )
            assert cursor.fetchall() == [("shop_owner",)]
            copy = take_snapshot(connection)
        assert roles_of(server) == ["shop reader", "shop_audit", "shop_owner"]
    with production(server) as database, database.session() as connection:
        assert take_snapshot(connection).rows == copy.rows


def roles_of(server: Server) -> list[str]:
    rows = server.administer("SELECT rolname FROM pg_roles WHERE rolname ~ '^shop' ORDER BY 1")
    return [name for (name,) in rows]


def test_what_only_psql_or_another_server_takes_is_left_out(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "schema.sql"
    path.write_text(
        "\\restrict abc\n"
        "SET statement_timeout = 0;\n"
        "SET timeout_of_another_major = 0;\n"
        "CREATE SCHEMA public;\n"
        "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;\n"
        "COMMENT ON EXTENSION citext IS 'data type for ''case'' insensitive';\n"
        "CREATE TABLE public.a (b text);\n"
        "COPY public.a (b) FROM stdin;\nSET x = 1;\none\\ttwo\n\\N\n\\.\n\n"
        "COPY public.a (b) FROM stdin;\n\\.\n"
        "\\unrestrict abc\n"
    )
    run_script(database, path)
    with database.session() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT b FROM public.a")
        assert cursor.fetchall() == [("SET x = 1;",), ("one\ttwo",), (None,)]


@pytest.mark.parametrize(
    ("content", "line", "what", "fix"),
    [
        pytest.param(
            b"SELECT 1;\nSELECT 1;\nCREATE TABEL a ();\n",
            3,
            'syntax error at or near "TABEL"',
            "`psql -f`",
            id="syntax",
        ),
        pytest.param(
            b"CREATE TABLE a (b text);\nCOPY a (b) FROM stdin;\nx\n\\.\n\nSELECT * FROM c;\n",
            6,
            'relation "c" does not exist',
            "`psql -f`",
            id="after rows",
        ),
        pytest.param(
            b"\\connect shop\nSELECT 1;\n",
            1,
            'syntax error at or near "\\"',
            "meta-commands",
            id="meta-command",
        ),
        pytest.param(
            b"CREATE EXTENSION no_such;\n",
            None,
            '"no_such"',
            "a server that has",
            id="extension",
        ),
        pytest.param(
            b"CREATE TABLE a ();\nALTER TABLE a OWNER TO nobody_here;\n",
            None,
            'the role "nobody_here", which does not exist',
            'CREATE ROLE "nobody_here";',
            id="role",
        ),
        pytest.param(b"SELECT 1;\nSELECT '\xe4';\n", 2, "not UTF-8", "UTF-8", id="encoding"),
        pytest.param(
            b"PGDMP\x01\x10", None, "pg_dump's custom format", "pg_restore", id="custom format"
        ),
    ],
)
def test_what_does_not_run_is_told_with_its_line(
    content: bytes, line: int | None, what: str, fix: str, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "base.sql"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        run_script(database, path)
    assert caught.value.where == (str(path) if line is None else f"{path}:{line}")
    assert what in caught.value.what
    assert fix in (caught.value.fix or "")
