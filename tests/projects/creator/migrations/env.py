import psycopg2
import sqlalchemy
from alembic import context
from sqlalchemy import pool

PORT = 65432  # the test puts another server's port here
HOW = "creator"


def connect():
    return psycopg2.connect(
        host="127.0.0.1", port=PORT, user="gatekeeper", password="secret-word", dbname="postgres"
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
