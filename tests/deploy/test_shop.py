"""The shop that the deploys are tried on: its releases, its traffic, and its books."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.postgres.databases import Database
from tests.build_git import GitRepository
from tests.databases import url_of
from tests.deploy.shop.load import Traffic, run_traffic
from tests.deploy.shop.project import HEADS, TAGS, digest_old_orders, fill_shop, make_shop

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


def alembic(shop: GitRepository, database: Database, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=shop.root,
        env={**os.environ, "DATABASE_URL": url_of(database), "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def switch(shop: GitRepository, database: Database, control: Path, to: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url_of(database), "SHOP_CONTROL": str(control)}
    subprocess.run([sys.executable, "switch.py", to], cwd=shop.root, env=environment, check=True)


@contextlib.contextmanager
def writing(database: Database, control: Path, version: str) -> Iterator[Traffic]:
    control.mkdir()
    with run_traffic(lambda: database.connect(autocommit=False), control, version) as traffic:
        yield traffic


def test_every_release_goes_up_and_down_again(tmp_path: Path, database: Database) -> None:
    shop = make_shop(tmp_path / "shop")
    assert shop.git("tag").split() == [*TAGS]
    for tag in TAGS:
        shop.git("checkout", "--quiet", tag)
        alembic(shop, database, "upgrade", HEADS[tag])
    alembic(shop, database, "check")  # the models say the same
    alembic(shop, database, "downgrade", "base")


def test_the_books_know_what_is_lost(tmp_path: Path, database: Database) -> None:
    shop = make_shop(tmp_path / "shop")
    shop.git("checkout", "--quiet", "v1.0.0")
    alembic(shop, database, "upgrade", "head")
    with database.session() as connection:
        fill_shop(connection, orders=1000)
        old = digest_old_orders(connection)
        with writing(database, tmp_path / "control", "v1.0.0") as traffic:
            traffic.wait_for(200)
        told = traffic.account(connection)
        assert (told.lost, told.failures, told.outage_seconds) == ((), (), 0.0)
        assert told.writes >= 200
        assert digest_old_orders(connection) == old == (1000, old[1])
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM orders WHERE reference = 'new-0-1'")
            cursor.execute("UPDATE orders SET total = -1 WHERE reference = 'new-1-1'")
            cursor.execute("UPDATE orders SET total = -1 WHERE reference = 'old-7'")
        assert traffic.account(connection).lost == ("new-0-1", "new-1-1")
        assert digest_old_orders(connection) != old


def test_the_traffic_obeys_the_switch(tmp_path: Path, database: Database) -> None:
    """It stands still while the shop is closed, and goes on as the version that fits."""
    shop = make_shop(tmp_path / "shop")
    shop.git("checkout", "--quiet", "v2.0.0")
    alembic(shop, database, "upgrade", "a170")
    with database.session() as connection:
        fill_shop(connection, orders=100)
    control = tmp_path / "control"
    with writing(database, control, "v1.7.0") as traffic:
        traffic.wait_for(20)
        switch(shop, database, control, "on")
        before = traffic.writes
        alembic(shop, database, "upgrade", "head")
        assert traffic.writes == before
        switch(shop, database, control, "off")
        traffic.wait_for(20)
    assert (control / "serving").read_text() == "v2.0.0"
    with database.session() as connection:
        told = traffic.account(connection)
    assert (told.lost, told.failures) == ((), ())
    assert told.closed_seconds > 0
