"""Errors of PostgreSQL → the extension that they ask for."""

from __future__ import annotations

import pytest

from gatekeeper.extensions import extension_of, unavailable_extension
from gatekeeper.model import StepError

TYPE, FUNCTION, TABLE = "42704", "42883", "42P01"


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        (TYPE, 'type "mood" does not exist'),
        (TYPE, 'type "citexts_of_ours" does not exist'),
        (TYPE, 'constraint "vector" of relation "t" does not exist'),
        (FUNCTION, "function next_vector(integer) does not exist"),
        (FUNCTION, "function my_crypt(text) does not exist\nLINE 1: SELECT crypt('a')"),
        (TABLE, 'relation "citext" does not exist'),
        (None, 'type "citext" does not exist'),
    ],
)
def test_errors_about_other_things(sqlstate, message):
    assert extension_of(StepError("Error", message, sqlstate, None, None, None)) is None


@pytest.mark.parametrize(
    ("sqlstate", "message", "extension"),
    [
        (TYPE, 'type "vector" does not exist\nLINE 1: …', "vector"),
        (TYPE, 'type "public.vector" does not exist', "vector"),
        (TYPE, 'access method "hnsw" does not exist', "vector"),
        (
            TYPE,
            'operator class "vector_cosine_ops" does not exist for access method "hnsw"',
            "vector",
        ),
        (TYPE, 'type "citext" does not exist', "citext"),
        (TYPE, 'type "citext[]" does not exist', "citext"),
        (TYPE, 'type "hstore" does not exist', "hstore"),
        (TYPE, 'type "ltree" does not exist', "ltree"),
        (TYPE, 'type "geometry" does not exist', "postgis"),
        (FUNCTION, "function st_makepoint(integer, integer) does not exist", "postgis"),
        (TYPE, 'operator class "gin_trgm_ops" does not exist for access method "gin"', "pg_trgm"),
        (FUNCTION, "function similarity(text, unknown) does not exist", "pg_trgm"),
        (FUNCTION, "function uuid_generate_v4() does not exist", "uuid-ossp"),
        (FUNCTION, "function public.uuid_generate_v1mc() does not exist", "uuid-ossp"),
        (FUNCTION, "function gen_salt(unknown) does not exist", "pgcrypto"),
        (FUNCTION, "function digest(text, unknown) does not exist", "pgcrypto"),
        (FUNCTION, "function unaccent(text) does not exist", "unaccent"),
        (TYPE, 'text search dictionary "unaccent" does not exist', "unaccent"),
        (FUNCTION, "function levenshtein(text, text) does not exist", "fuzzystrmatch"),
        (FUNCTION, "function crosstab(unknown) does not exist", "tablefunc"),
        (TYPE, 'operator class "gin__int_ops" does not exist for access method "gin"', "intarray"),
        (
            TYPE,
            'data type integer has no default operator class for access method "gist"',
            "btree_gist",
        ),
        (
            TYPE,
            'data type text has no default operator class for access method "gin"',
            "btree_gin",
        ),
    ],
)
def test_errors_that_ask_for_an_extension(sqlstate, message, extension):
    assert extension_of(StepError("Error", message, sqlstate, None, None, None)) == extension


UNAVAILABLE = 'extension "postgis" is not available\nDETAIL: Could not open'


@pytest.mark.parametrize(
    ("sqlstate", "message", "extension"),
    [
        (TYPE, UNAVAILABLE, None),
        ("0A000", 'extension "postgis" already exists', None),
        ("0A000", UNAVAILABLE, "postgis"),
        ("58P01", UNAVAILABLE, "postgis"),
    ],
)
def test_extensions_that_a_server_does_not_have(sqlstate, message, extension):
    error = StepError("Error", message, sqlstate, None, None, None)
    assert unavailable_extension(error) == extension
