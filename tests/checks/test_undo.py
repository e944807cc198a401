"""What a downgrade still has to do, as code to paste."""

from __future__ import annotations

import pytest

from gatekeeper.checks.undo import undo
from gatekeeper.model import Difference, DifferenceKind

LEFT, MISSING, CHANGED = DifferenceKind.LEFT, DifferenceKind.MISSING, DifferenceKind.CHANGED
ORDERS = "public.orders"


@pytest.mark.parametrize(
    ("difference", "call"),
    [
        (Difference(LEFT, "column", "s.orders.A", "s.orders"),
         'op.drop_column("orders", "A", schema="s")'),
        (Difference(LEFT, "index", "public.ix", ORDERS),
         'op.drop_index("ix", table_name="orders")'),
        (Difference(LEFT, "constraint", "public.orders.ck", ORDERS),
         'op.drop_constraint("ck", "orders")'),
        (Difference(LEFT, "table", ORDERS, ORDERS), 'op.drop_table("orders")'),
        (Difference(LEFT, "enum", "public.Mood"),
         "op.execute('DROP TYPE IF EXISTS public.\"Mood\"')"),
        (Difference(LEFT, "domain", "s.d"), 'op.execute("DROP DOMAIN IF EXISTS s.d")'),
        (Difference(LEFT, "view", "public.v", "public.v"),
         'op.execute("DROP VIEW IF EXISTS public.v")'),
        (Difference(LEFT, "trigger", "public.orders.t", ORDERS),
         'op.execute("DROP TRIGGER IF EXISTS t ON public.orders")'),
        (Difference(LEFT, "function", "public.f(integer, text)"),
         'op.execute("DROP FUNCTION IF EXISTS public.f(integer, text)")'),
        (Difference(LEFT, "cast", "a to b"), "# remove the cast a to b"),
        (Difference(MISSING, "index", "public.ix", ORDERS), "# make the index public.ix again"),
        (Difference(CHANGED, "column", "public.orders.a", ORDERS, "nullable", "false", "true"),
         'op.execute("ALTER TABLE public.orders ALTER COLUMN a SET NOT NULL")'),
        (Difference(CHANGED, "column", "public.orders.a", ORDERS, "nullable", "true", "false"),
         'op.execute("ALTER TABLE public.orders ALTER COLUMN a DROP NOT NULL")'),
        (Difference(CHANGED, "column", "public.orders.a", ORDERS, "type", "text", "integer"),
         'op.execute("ALTER TABLE public.orders ALTER COLUMN a TYPE text USING a::text")'),
        (Difference(CHANGED, "column", "public.orders.a", ORDERS, "default", None, "1"),
         'op.execute("ALTER TABLE public.orders ALTER COLUMN a DROP DEFAULT")'),
        (Difference(CHANGED, "column", "public.orders.a", ORDERS, "default", "'{}'", None),
         "op.execute(\"ALTER TABLE public.orders ALTER COLUMN a SET DEFAULT '{}'\")"),
        (Difference(CHANGED, "table", ORDERS, ORDERS, "comment", None, "new"),
         'op.execute("COMMENT ON TABLE public.orders IS NULL")'),
        (Difference(CHANGED, "column", "public.orders.A", ORDERS, "comment", "it's", None),
         """op.execute('COMMENT ON COLUMN public.orders."A" IS \\'it\\'\\'s\\'')"""),
        (Difference(CHANGED, "table", ORDERS, ORDERS, "persistence", "unlogged", None),
         "# give the table public.orders its persistence back: unlogged"),
    ],
)  # fmt: skip
def test_one_difference(difference: Difference, call: str) -> None:
    assert undo([difference]) == (call,)


def test_what_people_accept_is_left_alone() -> None:
    assert undo([Difference(LEFT, "extension", "citext")]) == ()


def test_what_depends_on_others_goes_first() -> None:
    left = [
        Difference(LEFT, "enum", "public.mood"),
        Difference(LEFT, "column", "public.orders.a", ORDERS),
        Difference(MISSING, "index", "public.ix", ORDERS),
        Difference(LEFT, "trigger", "public.orders.t", ORDERS),
    ]
    assert undo(left) == (
        'op.execute("DROP TRIGGER IF EXISTS t ON public.orders")',
        'op.drop_column("orders", "a")',
        'op.execute("DROP TYPE IF EXISTS public.mood")',
        "# make the index public.ix again",
    )


def test_a_long_list_ends() -> None:
    calls = undo(Difference(LEFT, "table", f"public.t{n}") for n in range(20))
    assert len(calls) == 13
    assert calls[-1] == "# and 8 more"
