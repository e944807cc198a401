import sys

import sqlalchemy as sa

from shop.models import metadata

if __name__ == "__main__":
    assert sys.argv[1:] == ["--quietly"], sys.argv
    engine = sa.create_engine("postgresql+psycopg2://shop@db.example.com/shop")
    with engine.begin() as connection:
        metadata.create_all(connection)
