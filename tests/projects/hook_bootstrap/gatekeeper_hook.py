"""Code of the project has made what the history begins with: the schema of its version 1."""

import sqlalchemy as sa
from shop import baseline


def bootstrap(url):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        baseline.create(connection)
