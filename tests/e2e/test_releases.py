"""A shop with a million orders goes from its first release to its tenth while people order."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatekeeper.postgres.databases import Database
from tests.deploy.shop.load import Account, run_traffic, serve
from tests.deploy.shop.place import Place, open_place
from tests.deploy.shop.project import (
    BREAKING,
    HEADS,
    TAGS,
    digest_old_orders,
    fill_shop,
    make_shop,
)

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

ORDERS = 1_000_000


@dataclass(frozen=True)
class Deployed:
    """What one release cost: seconds of the command, and seconds of maintenance in its record."""

    tag: str
    release_seconds: float
    deploy_seconds: float
    maintenance_seconds: float


@pytest.fixture
def place(tmp_path: Path, database: Database, clean_environment: dict[str, str]) -> Iterator[Place]:
    with open_place(make_shop(tmp_path / "shop"), database, clean_environment, tmp_path) as place:
        yield place


def deploy(place: Place, tag: str) -> Deployed:
    """Release a tag and deploy it; whatever goes wrong fails the test with all that was said."""
    started = time.monotonic()
    ran = place.release(tag)
    assert ran.returncode == 0, f"{tag}: {ran.stdout}{ran.stderr}"
    released = time.monotonic()
    ran = place.deploy(tag)
    assert ran.returncode == 0, f"{tag}: {ran.stdout}{ran.stderr}"
    record = place.read_record(tag)
    assert (record["outcome"], record["to_revisions"]) == ("deployed", [HEADS[tag]])
    assert place.ask("SELECT version_num FROM alembic_version") == [(HEADS[tag],)]
    return Deployed(
        tag,
        released - started,
        time.monotonic() - released,
        record["maintenance_seconds"],
    )


def test_ten_releases_are_deployed_and_no_write_is_lost(
    place: Place, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = [deploy(place, TAGS[0])]
    with database.session() as connection:
        fill_shop(connection, ORDERS)
        old = digest_old_orders(connection)
    with run_traffic(place.connect, place.control, TAGS[0]) as traffic:
        for tag in TAGS[1:]:
            deployed.append(deploy(place, tag))
            serve(place.control, tag)  # the application follows its schema
            traffic.wait_for(100)
    with place.session() as connection:
        account = traffic.account(connection)
        assert digest_old_orders(connection) == old
    with capsys.disabled():
        sys.stdout.write(render(deployed, account))
    assert old[0] == ORDERS
    assert account.lost == ()
    assert [d.tag for d in deployed if d.maintenance_seconds] == [BREAKING]
    assert account.closed_seconds > 0


def test_a_breaking_release_that_fails_is_taken_back_and_no_write_is_lost(
    place: Place, database: Database
) -> None:
    """The shop opens again as it was, with all that was ordered before it closed."""
    before = TAGS[TAGS.index(BREAKING) - 1]
    place.migrate(before)
    with database.session() as connection:
        fill_shop(connection, 10_000)
        old = digest_old_orders(connection)
    with run_traffic(place.connect, place.control, before) as traffic:
        assert place.release(BREAKING).returncode == 0
        ran = place.with_variables(SHOP_IS_BROKEN="yes").deploy(BREAKING)
        traffic.wait_for(100)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert place.read_record(BREAKING)["outcome"] == "rolled-back"
    assert place.ask("SELECT version_num FROM alembic_version") == [(HEADS[before],)]
    assert (place.control / "serving").read_text() == before
    with place.session() as connection:
        account = traffic.account(connection)
        assert digest_old_orders(connection) == old
    assert (account.lost, account.failures) == ((), ())
    assert account.closed_seconds > 0


def render(deployed: list[Deployed], account: Account) -> str:
    lines = [
        f"{d.tag}: release {d.release_seconds:.1f} s, deploy {d.deploy_seconds:.1f} s, "
        f"maintenance {d.maintenance_seconds:.1f} s"
        for d in deployed
    ]
    reasons = sorted({failure.reason for failure in account.failures})
    lines += [
        f"writes acknowledged: {account.writes}",
        f"writes lost: {len(account.lost)}",
        f"writes failed: {len(account.failures)}, the longest time without one: "
        f"{account.outage_seconds:.1f} s",
        *(f"  {reason}" for reason in reasons),
        f"seconds of maintenance: {account.closed_seconds:.1f}",
    ]
    return "\n" + "\n".join(lines) + "\n"
