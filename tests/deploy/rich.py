"""A database with one of everything that a dump and its restoration can trip over."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from gatekeeper.postgres.databases import Database
from tests.databases import execute

STATEMENTS = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('a001')",
    "CREATE SCHEMA extensions",
    "CREATE EXTENSION citext WITH SCHEMA public",
    "CREATE EXTENSION pg_trgm WITH SCHEMA extensions",
    "COMMENT ON EXTENSION citext IS 'our own words'",
    'CREATE SCHEMA "odd schema"',
    "COMMENT ON SCHEMA public IS 'ours'",
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TYPE pair AS (a int, b text)",
    "CREATE TYPE span AS RANGE (subtype = float8)",
    "CREATE SEQUENCE numbers START 100",
    """CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email citext UNIQUE NOT NULL,
        mood mood DEFAULT 'ok',
        score positive,
        place pair,
        number int DEFAULT nextval('numbers'),
        shouted text GENERATED ALWAYS AS (upper(email::text)) STORED
    )""",
    """INSERT INTO users (email, mood, score, place)
        SELECT 'user' || n || '@example.org', 'happy', n,
            ROW(n, E'back\\\\slash\\ttab\\nline'::text)::pair
        FROM generate_series(1, 200) n""",
    'CREATE TABLE "odd schema"."odd Table" ("odd \'column\'" text, n int)',
    """INSERT INTO "odd schema"."odd Table"
        VALUES (E'\\\\.', 1), (NULL, 2), ('COPY x FROM stdin;', 3)""",
    "CREATE TABLE orders (id serial PRIMARY KEY, user_id bigint REFERENCES users, at date)",
    "INSERT INTO orders (user_id, at) SELECT n, '2026-01-01' FROM generate_series(1, 50) n",
    "CREATE INDEX orders_at ON orders (at DESC) WHERE at IS NOT NULL",
    "CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at)",
    "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE TABLE events_other PARTITION OF events DEFAULT",
    "INSERT INTO events VALUES ('2026-05-05', 'spring'), ('1999-12-31', 'party')",
    "CREATE INDEX events_at ON events (at)",
    "CREATE VIEW happy AS SELECT * FROM users WHERE mood = 'happy'",
    "CREATE MATERIALIZED VIEW by_day AS SELECT at, count(*) FROM orders GROUP BY at",
    "CREATE UNIQUE INDEX by_day_at ON by_day (at)",
    """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
SET search_path = public;
CREATE SCHEMA IF NOT EXISTS x;
    RETURN NEW;
END $body$""",
    "CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch()",
    "CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1'",
    "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)",
    "CREATE FUNCTION same(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2'",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same)",
    "CREATE COLLATION ours (provider = libc, locale = 'C')",
    "CREATE TEXT SEARCH CONFIGURATION ours (COPY = english)",
    "CREATE STATISTICS of_orders ON user_id, at FROM orders",
    "CREATE RULE no_delete AS ON DELETE TO events DO INSTEAD NOTHING",
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY readers ON users FOR SELECT TO {reader} USING (score > 10)",
    "GRANT SELECT ON users TO {reader}",
    "GRANT USAGE ON SCHEMA public TO {reader}",
    "ALTER TABLE orders OWNER TO {writer}",
    "GRANT INSERT (user_id) ON orders TO {reader} WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}",
    "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "CREATE PUBLICATION changes FOR TABLE orders",
    """CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE NOTICE 'seen'; END $$""",
    "CREATE EVENT TRIGGER notice_ddl ON ddl_command_end EXECUTE FUNCTION noticed()",
    "COMMENT ON TABLE users IS E'people; COPY nothing FROM stdin;\\n\\\\.'",
    "COMMENT ON COLUMN users.score IS 'it''s theirs'",
    "SELECT lo_from_bytea(777, 'a large object''s bytes')",
    "SELECT lo_from_bytea(778, decode(repeat('ff00', 40000), 'hex'))",
    "CREATE TABLE files (content oid)",
    "INSERT INTO files VALUES (777), (778)",
    "CREATE DOMAIN numbers_of AS int[] CHECK (cardinality(VALUE) < 9)",
    "CREATE CAST (pair AS text) WITH INOUT AS ASSIGNMENT",
    "CREATE OPERATOR FAMILY orders_of USING btree",
    """CREATE OPERATOR CLASS ours FOR TYPE int USING btree FAMILY orders_of
        AS OPERATOR 1 <, FUNCTION 1 btint4cmp(int, int)""",
    "CREATE ACCESS METHOD piles TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE TABLE piled (n int) USING piles",
    "CREATE UNLOGGED TABLE fleeting (n int, EXCLUDE USING btree (n WITH =))",
    "CREATE TABLE children (born date) INHERITS (files)",
    "CREATE EXTENSION postgres_fdw WITH SCHEMA extensions",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db.example.org')",
    "CREATE USER MAPPING FOR {reader} SERVER elsewhere OPTIONS (user 'nobody')",
    "CREATE FOREIGN TABLE far (id int) SERVER elsewhere",
    "SELECT setval('numbers', 1234, false)",
)


def make_rich(database: Database) -> Sequence[str]:
    """Fill a database; return the roles that it names, which the caller drops."""
    suffix = secrets.token_hex(4)
    roles = {"reader": f"reader_{suffix}", "writer": f"writer_{suffix}"}
    statements = list(STATEMENTS)
    execute(database, *(f"CREATE ROLE {name}" for name in roles.values()))
    for name, role in roles.items():
        statements = [each.replace(f"{{{name}}}", role) for each in statements]
    execute(database, *statements)
    return tuple(roles.values())
