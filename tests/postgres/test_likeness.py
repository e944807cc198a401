"""A database elsewhere is held against what a rehearsal left, without false alarms."""

from __future__ import annotations

import pytest

from gatekeeper.postgres.databases import Database, open_database
from gatekeeper.postgres.likeness import find_unlike, read_traits
from gatekeeper.postgres.servers import Server
from gatekeeper.postgres.snapshot import Snapshot, take_snapshot
from tests.databases import execute
from tests.servers import on_every_server

pytestmark = [pytest.mark.postgres, on_every_server()]

SHOP = """
CREATE TYPE status AS ENUM ('open', 'closed');
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY, user_id int REFERENCES users, status status DEFAULT 'open'
);
CREATE INDEX ix_orders_user_id ON orders (user_id);
CREATE VIEW open_orders AS SELECT id FROM orders WHERE status = 'open';
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
"""


def snapshot_of(database: Database) -> Snapshot:
    with database.session() as connection:
        return take_snapshot(connection)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT", id="nothing"),
        pytest.param(
            "ALTER TABLE orders OWNER TO pg_monitor; GRANT SELECT ON users TO pg_monitor;"
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor",
            id="other roles",
        ),
        pytest.param(
            "CREATE EXTENSION citext; CREATE SCHEMA extensions;"
            "CREATE EXTENSION hstore SCHEMA extensions",
            id="extensions, in a schema of their own",
        ),
        pytest.param(
            "CREATE SCHEMA auth; CREATE TABLE auth.users (id int PRIMARY KEY);"
            "CREATE FUNCTION auth.who() RETURNS text LANGUAGE sql AS 'SELECT current_user'",
            id="another program's schema",
        ),
        pytest.param(
            "ALTER TABLE orders SET (autovacuum_vacuum_scale_factor = 0.01, fillfactor = 90);"
            "ALTER TABLE users ALTER email SET STATISTICS 500; CLUSTER orders USING orders_pkey;"
            "ALTER TABLE users ALTER email SET STORAGE external",
            id="tuned tables",
        ),
        pytest.param(
            "CREATE PUBLICATION all_of_it FOR ALL TABLES; ALTER TABLE users REPLICA IDENTITY FULL",
            id="logical replication",
        ),
        pytest.param(
            "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "DROP FUNCTION note; CREATE SCHEMA audit; CREATE FUNCTION audit.note()"
            " RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
            "CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION audit.note()",
            id="an event trigger",
        ),
        pytest.param(
            "DROP TABLE events_1; CREATE TABLE events_2 PARTITION OF events"
            " FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); CREATE INDEX ON events_2 (what)",
            id="other partitions",
        ),
        pytest.param(
            "COMMENT ON SCHEMA public IS NULL; INSERT INTO users VALUES (1, 'a')", id="rows"
        ),
        pytest.param(
            "ALTER TABLE users DROP email; ALTER TABLE users DROP id CASCADE;"
            "ALTER TABLE users ADD email text NOT NULL, ADD id int PRIMARY KEY;"
            "ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users",
            id="columns in another order",
        ),
    ],
)
def test_what_is_ordinary_is_no_difference(server: Server, sql: str) -> None:
    with open_database(server) as database:
        execute(database, SHOP)
        expected = read_traits(snapshot_of(database))
        execute(database, sql)
        assert find_unlike(expected, snapshot_of(database)) == ()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "ALTER TABLE users ADD note text",
            ("`column public.users.note` is not expected",),
        ),
        (
            "DROP INDEX ix_orders_user_id",
            ("`index public.ix_orders_user_id` is missing",),
        ),
        (
            "ALTER TABLE users ALTER email TYPE varchar(9)",
            ("`column public.users.email` is another one",),
        ),
        (
            "ALTER TYPE status ADD VALUE 'lost'",
            ("`enum public.status` is another one",),
        ),
        (
            "CREATE TABLE copied (id int PRIMARY KEY)",
            ("`table public.copied` is not expected",),
        ),
        (
            "DROP TABLE orders CASCADE",
            (
                "`index public.ix_orders_user_id` is missing",
                "`table public.orders` is missing",
                "`view public.open_orders` is missing",
            ),
        ),
        (
            "ALTER TABLE orders DISABLE TRIGGER ALL; ALTER TABLE orders DROP CONSTRAINT"
            " orders_user_id_fkey; ALTER TABLE orders ADD CONSTRAINT orders_user_id_fkey"
            " FOREIGN KEY (user_id) REFERENCES users NOT VALID",
            ("`constraint public.orders.orders_user_id_fkey` is another one",),
        ),
        (
            "ALTER VIEW open_orders SET (security_barrier = true)",
            ("`view public.open_orders` is another one",),
        ),
    ],
)
def test_what_was_changed_by_hand_is_named(server: Server, sql: str, told: tuple[str, ...]) -> None:
    with open_database(server) as database:
        execute(database, SHOP)
        expected = read_traits(snapshot_of(database))
        execute(database, sql)
        assert find_unlike(expected, snapshot_of(database)) == told


def test_an_extension_that_is_missing_is_named(server: Server) -> None:
    with open_database(server) as database:
        execute(database, "CREATE EXTENSION citext")
        expected = read_traits(snapshot_of(database))
        execute(database, "DROP EXTENSION citext")
        told = find_unlike(expected, snapshot_of(database))
        assert told == ("`extension citext` is missing",)


def test_an_extension_may_be_in_another_schema(server: Server) -> None:
    """Some hosts keep all extensions in a schema of their own."""
    own = "CREATE FUNCTION extensions.watch() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    makes = "CREATE TABLE mails (tags hstore DEFAULT hstore('a', 'b'), at citext PRIMARY KEY);"
    with open_database(server) as database:
        execute(
            database,
            f"CREATE SCHEMA extensions; CREATE EXTENSION citext; CREATE EXTENSION hstore; {makes}",
        )
        expected = read_traits(snapshot_of(database))
    with open_database(server) as database:
        execute(
            database,
            "CREATE SCHEMA extensions; CREATE EXTENSION citext SCHEMA extensions; CREATE"
            " EXTENSION hstore SCHEMA extensions; SET search_path = public, extensions;"
            f" {makes} {own}",
        )
        assert find_unlike(expected, snapshot_of(database)) == ()


def test_a_schema_that_the_release_makes_is_known(server: Server) -> None:
    """What it is about to make must not be there already."""
    with open_database(server) as database:
        before = read_traits(snapshot_of(database))
        execute(database, "CREATE SCHEMA reports; CREATE TABLE reports.sales (id int)")
        there = snapshot_of(database)
        assert find_unlike(before, there) == ()
        assert find_unlike(before, there, also=read_traits(there)) == (
            "`schema reports` is not expected",
            "`table reports.sales` is not expected",
        )
