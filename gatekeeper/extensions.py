"""What an error says that an administrator has to make: an extension, a role. No I/O.

Sources: PostgreSQL manual, appendix F; the manuals of pgvector and PostGIS.
"""

from __future__ import annotations

import re

from gatekeeper.model import StepError

# SQLSTATEs of a name that is not there: object (types, operator classes), function.
_MISSING = ("42704", "42883")

# And of an extension whose files are not there: feature_not_supported, undefined_file.
_UNAVAILABLE = ("0A000", "58P01")
_NOT_AVAILABLE = re.compile('extension "(.+?)" is not available')

_NO_ROLE = re.compile('role "(.+?)" does not exist')

# The object as the error names it, without its schema → the extension.
_OBJECTS = (
    (r'type "(?:\w+\.)?(?:vector|halfvec|sparsevec)(?:\[\])?"', "vector"),
    (r'operator class "(?:\w+\.)?(?:vector|halfvec|sparsevec|bit)_\w+_ops"', "vector"),
    (r'access method "(?:hnsw|ivfflat)"', "vector"),
    (r'type "(?:\w+\.)?citext(?:\[\])?"', "citext"),
    (r'type "(?:\w+\.)?hstore(?:\[\])?"', "hstore"),
    (r'type "(?:\w+\.)?(?:ltree|lquery|ltxtquery)(?:\[\])?"', "ltree"),
    (r'type "(?:\w+\.)?cube(?:\[\])?"', "cube"),
    (r'type "(?:\w+\.)?(?:geometry|geography|box2d|box3d)(?:\[\])?"', "postgis"),
    (r"function (?:\w+\.)?st_\w+\(", "postgis"),
    (r'operator class "(?:\w+\.)?gi(?:n|st)_trgm_ops"', "pg_trgm"),
    (r"function (?:\w+\.)?(?:word_)?similarity\(|function (?:\w+\.)?show_trgm\(", "pg_trgm"),
    (r"function (?:\w+\.)?uuid_(?:generate_v\w+|ns_\w+|nil)\(", "uuid-ossp"),
    (r"function (?:\w+\.)?(?:crypt|gen_salt|gen_random_bytes|digest|hmac|pgp_\w+)\(", "pgcrypto"),
    (r"function (?:\w+\.)?unaccent\(", "unaccent"),
    (r'text search dictionary "(?:\w+\.)?unaccent"', "unaccent"),
    (r"function (?:\w+\.)?(?:levenshtein|soundex|d?metaphone)\(", "fuzzystrmatch"),
    (r"function (?:\w+\.)?crosstab\(", "tablefunc"),
    (r'operator class "(?:\w+\.)?gi(?:n|st)__int\w*_ops"', "intarray"),
    (r'no default operator class for access method "gist"', "btree_gist"),
    (r'no default operator class for access method "gin"', "btree_gin"),
)


def extension_of(error: StepError) -> str | None:
    """Return the extension whose object an error does not find, None where none is known."""
    if error.sqlstate not in _MISSING:
        return None
    first_line = error.message.partition("\n")[0]
    found = (name for pattern, name in _OBJECTS if re.search(pattern, first_line, re.IGNORECASE))
    return next(found, None)


def unavailable_extension(error: StepError) -> str | None:
    """Return the extension that the server was asked for and does not have, None otherwise."""
    if error.sqlstate not in _UNAVAILABLE:
        return None
    match = _NOT_AVAILABLE.match(error.message)
    return match and match[1]


def missing_role(error: StepError) -> str | None:
    """Return the role that an error does not find, None otherwise."""
    match = _NO_ROLE.match(error.message) if error.sqlstate == "42704" else None
    return match and match[1]
