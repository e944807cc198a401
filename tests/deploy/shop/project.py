"""A shop with ten releases, as a real git repository, and its database with many orders.

`releases/` has a folder for each tag with the files that it adds or changes. The schema grows by
expand and contract, as people do it who must not stop the shop; `v2.0.0` breaks with that and
needs a closed shop, `v1.5.0` has no migration.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

from tests.build_git import GitRepository, a_repository

_RELEASES = Path(__file__).parent / "releases"

TAGS = tuple(sorted(folder.name for folder in _RELEASES.iterdir()))
HEADS = {
    "v1.0.0": "a100",
    "v1.1.0": "a110",
    "v1.2.0": "a120",
    "v1.3.0": "a130",
    "v1.4.0": "a143",
    "v1.5.0": "a143",
    "v1.6.0": "a160",
    "v1.7.0": "a170",
    "v2.0.0": "a200",
    "v2.1.0": "a210",
}
BREAKING = "v2.0.0"


def make_shop(root: Path) -> GitRepository:
    """Make the shop's repository, with a tag for each release."""
    repository = a_repository(root)
    for tag in TAGS:
        shutil.copytree(_RELEASES / tag, root, dirs_exist_ok=True)
        repository.commit({"VERSION": tag, ".gitignore": "__pycache__/\n"}, f"Release {tag}")
        repository.git("tag", tag)
    return repository


def fill_shop(connection: Connection, orders: int, customers: int = 1000) -> None:
    """Put customers and their old orders into a shop of the first release, as a superuser."""
    with connection.cursor() as cursor:
        # To look up the customer of each order would take most of the time.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "INSERT INTO customers (id, name)"
            " SELECT n, 'customer ' || n FROM generate_series(1, %s) AS n;"
            "SELECT setval('customers_id_seq', %s)",
            (customers, customers),
        )
        cursor.execute(
            "INSERT INTO orders (reference, customer_id, total, note)"
            " SELECT 'old-' || n, 1 + n %% %s, n, CASE n %% 10 WHEN 0 THEN 'note ' || n END"
            " FROM generate_series(1, %s) AS n",
            (customers, orders),
        )
        cursor.execute("RESET session_replication_role; ANALYZE")


def digest_old_orders(connection: Connection) -> tuple[int, int]:
    """Return number and digest of the orders that the shop was filled with."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(hashtextextended(id || ' ' || reference || ' ' || customer_id"
            " || ' ' || total || ' ' || created_at::text, 0))"
            " FROM orders WHERE reference LIKE 'old-%'"
        )
        (row,) = cursor.fetchall()
    return int(row[0]), int(row[1])
