"""On a server that others use, only what this run made is treated as its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from gatekeeper.errors import DatabaseError
from gatekeeper.postgres.databases import create_database
from gatekeeper.postgres.installations import Installation
from gatekeeper.postgres.servers import Server, leave_clean, open_server
from tests.databases import execute
from tests.live import server_url
from tests.servers import Place, on_every_server, start_apart

pytestmark = [
    pytest.mark.postgres,
    on_every_server(),
]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, installations: dict[Place, Installation]
) -> Iterator[Server]:
    """A server that other tests have left no role on."""
    with start_apart(request.param, installations) as server:
        yield server


@pytest.fixture
def service(server: Server) -> Iterator[Server]:
    with open_server(server_url(server)) as service:
        yield service


def _roles(server: Server) -> set[str]:
    rows = server.administer("SELECT rolname FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'")
    return {name for (name,) in rows}


@contextlib.contextmanager
def _role(server: Server, name: str, options: str = "") -> Iterator[None]:
    server.administer(f"CREATE ROLE {name} {options}")
    try:
        yield
    finally:
        server.administer(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        pytest.param("CREATE ROLE app", "CREATE ROLE app", id="named"),
        pytest.param("CREATE ROLE app", "create role APP", id="named in capitals"),
        pytest.param("CREATE ROLE app; CREATE SCHEMA s AUTHORIZATION app", "", id="used"),
    ],
)
def test_a_role_of_this_run_is_dropped_at_its_end(server: Server, sql: str, seen: str) -> None:
    with open_server(server_url(server)) as service:
        execute(create_database(service), sql)
        service.claim([seen])
        assert _roles(server) == {"app"}
    assert _roles(server) == set()


@pytest.mark.parametrize("seen", ["", "CREATE ROLE apps", "CREATE ROLE my_app"])
def test_a_role_that_nothing_ties_to_this_run_is_left_and_told(
    service: Server, server: Server, seen: str
) -> None:
    database, other = create_database(service), create_database(service)
    service.use_roles_of(database.name)
    with _role(server, "app"):
        service.claim([seen])
        service.use_roles_of(other.name)
        assert leave_clean(service) == (
            "the role app came up on the server meanwhile and is left: it may be another's",
        )
        assert _roles(server) == {"app"}


def test_a_role_that_is_used_elsewhere_is_not_ours_though_it_is_named(
    service: Server, server: Server
) -> None:
    service.use_roles_of(create_database(service).name)
    with _role(server, "app"):
        server.administer("CREATE SCHEMA s AUTHORIZATION app")
        service.claim(["CREATE ROLE app"])
        assert service.roles.ours == set()


def test_a_role_that_another_made_between_two_runs_is_not_told(
    service: Server, server: Server
) -> None:
    with _role(server, "app"):
        service.use_roles_of(create_database(service).name)
        service.claim(["GRANT x TO app"])
        assert leave_clean(service) == ()


def test_a_role_that_still_owns_something_elsewhere_is_told(server: Server) -> None:
    with open_server(server_url(server)) as service:
        execute(create_database(service), "CREATE ROLE app")
        service.claim(["CREATE ROLE app"])
        server.administer("CREATE SCHEMA s AUTHORIZATION app")
        (told,) = leave_clean(service)
        assert told.startswith("the role app is left on the server: ")
    server.administer("DROP OWNED BY app; DROP ROLE app")


def test_the_roles_of_killed_runs_are_swept_and_no_others(server: Server) -> None:
    with _role(server, "others"), open_server(server_url(server)) as killed:
        database = create_database(killed)
        execute(database, "CREATE ROLE app; GRANT USAGE ON SCHEMA public TO app, others")
        killed.claim(["CREATE ROLE app"])
        killed.make_role(killed.roles.owner.name)
        with open_server(server_url(server)):
            assert _roles(server) == {"app", "others", killed.roles.owner.name}
        killed.close()
        with open_server(server_url(server)):
            assert _roles(server) == {"others"}


def test_the_note_of_a_killed_run_is_the_administrators_alone(server: Server) -> None:
    """Restricted migrations own the database and could name any role of the server there."""
    with _role(server, "others"), open_server(server_url(server)) as killed:
        database = create_database(killed)
        oid = "SELECT oid FROM pg_roles WHERE rolname = 'others'"
        ((others,),) = server.administer(oid)
        server.administer(f"ALTER DATABASE {database.name} SET gatekeeper.roles = '{others}'")
        killed.close()
        with open_server(server_url(server)):
            assert _roles(server) == {"others"}


def test_a_role_for_all_databases_is_in_each(service: Server) -> None:
    first, second = create_database(service), create_database(service)
    execute(first, "CREATE ROLE app")
    service.claim(["CREATE ROLE app"])
    service.make_role("owner")
    for database, roles in ((second, {"owner"}), (first, {"app", "owner"})):
        service.use_roles_of(database.name)
        assert _roles(service) == roles


def test_without_a_superuser_roles_end_the_run(server: Server) -> None:
    url = server_url(server).replace(f"postgres:{server.password}", "maker:secret")
    with (
        _role(server, "maker", "LOGIN CREATEDB CREATEROLE PASSWORD 'secret'"),
        open_server(url) as service,
    ):
        service.make_role("everywhere")
        database = create_database(service)
        clone = create_database(service, database)
        execute(clone, "CREATE ROLE app")
        service.claim(["CREATE ROLE app"])
        with pytest.raises(DatabaseError) as raised:
            database.connect()
        assert raised.value.what == (
            "the migrations make roles; to take them back between two passes needs a "
            "superuser, which the role of `--database-url` is not"
        )
    assert _roles(server) == set()
