"""Does beside migrating what SHOP_HABIT says."""

import atexit
import logging.config
import os
import signal
import subprocess
import sys
import threading
import time

from alembic import context
from sqlalchemy import create_engine, pool, text

habit = os.environ["SHOP_HABIT"]
options = {}


def execute(connection, sql):
    connection.execute(text(sql))


def before(connection):
    if habit == "session lock":
        execute(connection, "SELECT pg_advisory_lock(4711)")
    elif habit == "transaction lock":
        execute(connection, "SELECT pg_advisory_xact_lock(4711)")
    elif habit == "timeouts":
        execute(connection, "SET statement_timeout = '60s'")
        execute(connection, "SET lock_timeout = '2s'")
    elif habit == "search_path":
        execute(connection, "CREATE SCHEMA IF NOT EXISTS shop")
        execute(connection, "SET search_path TO shop")


def migrate():
    with create_engine("postgresql+psycopg2://h/d", poolclass=pool.NullPool).connect() as connection:
        with connection.begin():
            before(connection)
            if habit == "commits":
                execute(connection, "COMMIT")
                execute(connection, "BEGIN")
            context.configure(connection=connection, **options)
            with context.begin_transaction():
                if habit == "own arguments":
                    context.run_migrations(op=connection, tables={})
                else:
                    context.run_migrations()
    if habit == "kept open":
        globals()["kept"] = create_engine("postgresql+psycopg2://h/d").connect()
        execute(globals()["kept"], "SELECT pg_advisory_lock(4711)")


if habit == "no transactional ddl":
    options = {"transactional_ddl": False}
elif habit == "transaction per migration":
    options = {"transaction_per_migration": True}
elif habit == "logs into a file":
    logging.config.fileConfig("logging.ini", disable_existing_loggers=True)
elif habit == "signal handlers":
    for name in ("SIGTERM", "SIGINT", "SIGALRM"):
        signal.signal(getattr(signal, name), lambda number, frame: sys.exit(number))
elif habit == "alarm":
    signal.alarm(1)
elif habit == "threads":
    threading.Thread(target=time.sleep, args=(3600,)).start()
elif habit == "prints":
    print("x" * 100_000)
    sys.stdout.flush()
    os.write(1, b'{"kind": "done"}\n')
    sys.stdin.read()
elif habit == "subprocess":
    subprocess.run(["sh", "-c", "echo hello; cat"], check=True)
elif habit == "git":
    subprocess.run(["git", "rev-parse", "HEAD"], check=True)
elif habit == "at exit":
    atexit.register(time.sleep, 3600)

migrate()

if habit == "exits":
    sys.exit()
if habit == "exits with a code":
    sys.exit(3)
