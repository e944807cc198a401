"""What a hook file may look like, read and not run."""

from __future__ import annotations

import pytest

from gatekeeper.errors import ConfigError
from gatekeeper.probe.hook import read_hook


@pytest.mark.parametrize(
    ("source", "functions"),
    [
        ("def alembic_config():\n    return None", {"alembic_config"}),
        ("def around(run):\n    run()\ndef helper(a, b):\n    pass", {"around"}),
        ("def bootstrap(url, schema='shop', *, echo=False):\n    pass", {"bootstrap"}),
        ("def around(*arguments):\n    pass", {"around"}),
        ("from shop.testing import around", {"around"}),
        ("from shop.testing import make as bootstrap", {"bootstrap"}),
        ("import shop\nalembic_config = shop.make_config", {"alembic_config"}),
        (
            "def around(run): run()\ndef bootstrap(url): pass\ndef alembic_config(): pass",
            {"around", "bootstrap", "alembic_config"},
        ),
    ],
)
def test_functions_of_a_hook(source: str, functions: set[str]) -> None:
    assert read_hook("hook.py", source.encode()).functions == functions


@pytest.mark.parametrize(
    ("source", "where", "what", "fix"),
    [
        pytest.param(
            "def arround(run):\n    run()",
            "ci/hook.py",
            "the hook defines none of the functions that gatekeeper calls",
            "Define at least one of `def alembic_config()`, `def around(run)`, "
            "`def bootstrap(url)`, or take `hook` out of the policy file.",
            id="none",
        ),
        pytest.param(
            "import os\n\ndef around():\n    pass",
            "ci/hook.py:3",
            "`around()` of the hook cannot be called as `around(run)`",
            "Write `def around(run):`.",
            id="too few",
        ),
        pytest.param(
            "def alembic_config(section):\n    pass",
            "ci/hook.py:1",
            "`alembic_config(section)` of the hook cannot be called as `alembic_config()`",
            "Write `def alembic_config():`.",
            id="too many",
        ),
        pytest.param(
            "def bootstrap(url, *, schema):\n    pass",
            "ci/hook.py:1",
            "`bootstrap(url, *, schema)` of the hook cannot be called as `bootstrap(url)`",
            "Write `def bootstrap(url):`.",
            id="a name that it needs",
        ),
        pytest.param(
            "async def around(run):\n    run()",
            "ci/hook.py:1",
            "`around` of the hook is `async`, and is called without a loop",
            "Write `def around(run):`, and call `asyncio.run(…)` in it.",
            id="async",
        ),
        pytest.param(
            "def around(run)\n    run()",
            "ci/hook.py:1",
            "the hook is not Python: expected ':'",
            "Correct the line; `python -m py_compile` shows the same.",
            id="syntax",
        ),
    ],
)
def test_a_hook_that_could_do_nothing_is_refused(
    source: str, where: str, what: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_hook("ci/hook.py", source.encode())
    assert (caught.value.where, caught.value.what, caught.value.fix) == (where, what, fix)
