import psycopg2.extensions
import sqlalchemy
from alembic import context

PORT = 65432  # the test puts another server's port here
HOW = "creator"


def connect():
    """Connect past `psycopg2.connect`."""
    return psycopg2.extensions.connection(
        "host=127.0.0.1 port=%d user=gatekeeper password=secret-word dbname=postgres" % PORT
    )


if HOW == "creator":
    engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=connect)
else:  # past create_engine's arguments
    engine = sqlalchemy.create_engine("postgresql+psycopg2://")
    engine.pool._creator = connect
    engine.pool = engine.pool.recreate()

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
