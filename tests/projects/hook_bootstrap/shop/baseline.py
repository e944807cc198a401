import sqlalchemy as sa

STATEMENTS = (
    "CREATE FUNCTION shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1)'",
    "CREATE TABLE users (id int PRIMARY KEY, name text, loud text GENERATED ALWAYS AS "
    "(shout(name)) STORED)",
)


def create(connection):
    for statement in STATEMENTS:
        connection.execute(sa.text(statement))
