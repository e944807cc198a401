from alembic import context
from sqlalchemy import create_engine

PORT = 65432  # the test puts a listener's port here
engine = create_engine("postgresql+psycopg2://shop:pw@127.0.0.1:%d/shop" % PORT)

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
