"""Message of a001: connects past SQLAlchemy, with each driver."""

import asyncio

import asyncpg
import psycopg
import psycopg2

revision = "a001"
down_revision = None

URL = "postgresql://shop:pw@db.example.com:6432/shop?sslmode=require"


async def with_asyncpg():
    connection = await asyncpg.connect(URL, timeout=5)
    await connection.execute("CREATE TABLE with_asyncpg (id int)")
    await connection.close()
    async with asyncpg.create_pool(URL, min_size=1) as pool:
        await pool.execute("CREATE TABLE with_asyncpg_pool (id int)")
    connection = await psycopg.AsyncConnection.connect(URL, autocommit=True)
    await connection.execute("CREATE TABLE with_psycopg_async (id int)")
    await connection.close()


def upgrade():
    connection = psycopg2.connect(URL, connect_timeout=5)
    connection.cursor().execute("CREATE TABLE with_psycopg2 (id int)")
    connection.commit()
    connection.close()
    connection = psycopg2.connect(host="db.example.com", dbname="shop", user="shop")
    connection.close()
    with psycopg.connect(URL) as connection:
        connection.execute("CREATE TABLE with_psycopg (id int)")
    asyncio.run(with_asyncpg())


def downgrade():
    pass
