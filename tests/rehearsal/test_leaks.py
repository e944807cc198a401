"""An env.py that leaves connections behind does not use up the server's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatekeeper.model import Verdict
from gatekeeper.postgres.servers import Server
from tests.build_git import a_repository
from tests.live import check_repository, live_revision, rehearsal_of

PROJECT = Path(__file__).parents[1] / "projects" / "leaks_connections"
NUMBER = 40  # three runs each, with three connections each; the server takes 200


@pytest.mark.postgres
@pytest.mark.slow
def test_an_audit_of_a_long_history_comes_to_its_end(tmp_path: Path, server: Server) -> None:
    files = {
        str(path.relative_to(PROJECT)): path.read_bytes()
        for path in [*sorted(PROJECT.rglob("*.py")), PROJECT / "alembic.ini"]
    }
    last = "a002"
    for number in range(NUMBER):
        name = f"b{number:03}"
        add = f'op.add_column("users", sa.Column("c{number}", sa.Text))'
        drop = f'op.drop_column("users", "c{number}")'
        files[f"migrations/versions/{name}.py"] = live_revision(name, last, add, drop).encode()
        last = name
    repository = a_repository(tmp_path / "shop", files)
    report = check_repository(repository.root, server, is_audit=True)
    revisions = rehearsal_of(report).revisions
    assert len(revisions) == NUMBER + 2
    assert {r.round_trip for r in revisions} == {()}
    assert report.verdict is Verdict.PASS
