"""What has to be found out before env.py runs: variables, folders, loops, arguments."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatekeeper.errors import ProbeError
from gatekeeper.model import Direction, Way
from gatekeeper.probe.attempts import Attempt
from gatekeeper.probe.guesses import SECRET
from gatekeeper.probe.model import Launch, RequestedStep
from gatekeeper.probe.runner import open_probe
from tests.probe.conftest import PYTHON
from tests.situations import read_environment, read_situation, unmet_need

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

PYDANTIC, LOOPS = "settings_of_pydantic", "event_loops"


def needs(situation: str) -> pytest.MarkDecorator:
    """Skip a test whose project needs what the interpreter of the tests does not have."""
    reason = unmet_need(read_situation(situation), read_environment(PYTHON))
    return pytest.mark.skipif(reason is not None, reason=str(reason))


UP = [RequestedStep("a001", Direction.UPGRADE)]


def start(launched: Launch, probe_server, first: Attempt | None = None):
    """Run the history; return the attempt that went well and how many there were."""
    targets = []

    def new_target():
        targets.append(probe_server.new_target())
        return targets[-1]

    with open_probe(launched, new_target, first) as probe:
        run = probe.run(probe_server.new_target(), UP)
        assert (run.error, run.steps[0].error) == (None, None)
        assert run.steps[0].statements[0].path == "migrations/versions/a001_users.py"
        return probe.attempt, len(targets)


def again(launched: Launch, attempt) -> Launch:
    """Return a launch with all that the attempt has found out."""
    return replace(
        launched,
        environment={**launched.environment, **dict(attempt.variables)},
        ways=attempt.ways,
        home_files=dict(attempt.home_files),
    )


def test_what_one_state_needed_is_tried_first_on_another(launch, probe_server):
    launched = launch("folder_elsewhere")
    known, _ = start(launched, probe_server)
    assert start(launched, probe_server, known) == (known, 1)
    wrong = Attempt(variables=(("SHOP_DATA_DIR", "/nowhere/else"),))
    assert start(launched, probe_server, wrong) == (known, 3)


@needs(PYDANTIC)
def test_settings_of_pydantic_are_filled_by_their_types(launch, probe_server):
    launched = launch(PYDANTIC)
    attempt, attempts = start(launched, probe_server)
    assert dict(attempt.variables) == {
        "SHOP_SECRET_KEY": SECRET,
        "SHOP_TOKEN_SALT": SECRET,
        "SHOP_STORE": "{database_url}",
        "SHOP_BROKER": "redis://dummy.invalid:6379/0",
        "AWS_REGION_OF_SHOP": "dummy",
        "SHOP_DEBUG": "true",
        "SHOP_MAIL__HOST": "dummy",
        "SHOP_MAIL__PORT": "1",
    }
    assert attempts == 3
    same, once = start(again(launched, attempt), probe_server)
    assert (same.reasons, once) == ((), 1)


@needs(PYDANTIC)
def test_settings_of_pydantic_1_are_filled_as_well(launch, probe_server):
    launched = launch(PYDANTIC)
    env = launched.checkout / "migrations/env.py"
    env.write_text(env.read_text().replace("from settings", "from settings_1"))
    attempt, attempts = start(launched, probe_server)
    assert dict(attempt.variables) == {
        "SHOP_SECRET_KEY": SECRET,
        "SHOP_STORE": "{database_url}",
        "SHOP_BROKER": "redis://dummy.invalid:6379/0",
        "SHOP_SITE": "http://dummy.invalid",
        "AWS_REGION_OF_SHOP": "dummy",
        "SHOP_DEBUG": "false",
        "SHOP_MAIL__HOST": "dummy",
        "SHOP_MAIL__PORT": "1",
    }
    assert attempts == 2


@needs(LOOPS)
@pytest.mark.parametrize(
    ("way", "found", "attempts"),
    [
        ("current loop", (), 1),
        ("worker thread", (Way.WORKER_THREAD,), 2),
        ("thread", (Way.THREAD,), 2),
        ("running loop", (Way.RUNNING_LOOP,), 2),
    ],
)
def test_threads_and_loops_that_env_py_asks_for(way, found, attempts, launch, probe_server):
    launched = launch(LOOPS, environment={"SHOP_WAY": way})
    attempt, needed = start(launched, probe_server)
    assert (attempt.ways, needed) == (found, attempts)
    assert start(again(launched, attempt), probe_server)[1] == 1


@needs(LOOPS)
@pytest.mark.parametrize("way", ["worker thread", "thread", "running loop"])
def test_an_exit_in_a_thread_or_loop_is_an_exit(way, launch, probe_server):
    launched = launch(LOOPS, environment={"SHOP_WAY": way})
    env = launched.checkout / "migrations/env.py"
    source = env.read_text()
    env.write_text(f"{source}\nraise SystemExit\n")
    assert start(launched, probe_server)[1] == 2
    env.write_text(f"{source}\nraise SystemExit(4)\n")
    with (
        pytest.raises(ProbeError, match="could not be run: SystemExit: 4"),
        open_probe(launched, probe_server.new_target),
    ):
        pass


def test_a_folder_elsewhere_becomes_a_private_one(launch, probe_server):
    launched = launch("folder_elsewhere")
    attempt, attempts = start(launched, probe_server)
    assert attempt.variables == (("SHOP_DATA_DIR", "{private_folder}"),)
    assert attempt.reasons == (
        "/srv/of-the-shop could not be had; SHOP_DATA_DIR was set to a private folder",
    )
    assert attempts == 2
    assert start(again(launched, attempt), probe_server)[1] == 1


@needs(PYDANTIC)
def test_a_folder_of_pydantics_settings_becomes_a_private_one(launch, probe_server):
    launched = launch("folder_elsewhere")
    (launched.checkout / "settings.py").write_text(
        "from pathlib import Path\n"
        "from pydantic_settings import BaseSettings\n"
        "class Settings(BaseSettings):\n"
        "    upload_dir: Path = Path('/srv/of-the-shop/uploads')\n"
        "    log_dir: Path = Path('logs')\n"
        "Settings().upload_dir.mkdir(parents=True, exist_ok=True)\n"
    )
    attempt, attempts = start(launched, probe_server)
    assert (attempt.variables, attempts) == ((("UPLOAD_DIR", "{private_folder}"),), 2)


def test_a_url_in_a_file_of_the_home_directory_is_given(launch, probe_server):
    launched = launch("url_in_home")
    attempt, attempts = start(launched, probe_server)
    assert (attempt.home_files, attempts) == (((".shop/database", "{database_url}"),), 2)
    assert start(again(launched, attempt), probe_server)[1] == 1


def test_the_home_directory_stays_the_projects_own(launch, probe_server):
    launched = replace(launch("url_in_home"), home_files={".shop/database": "{database_url}"})
    env = launched.checkout / "migrations/env.py"
    env.write_text(env.read_text() + "\n(Path.home() / '.shop' / 'log').write_text('x')\n")
    assert start(launched, probe_server)[1] == 1


def test_an_example_of_the_checkout_is_taken(launch, probe_server):
    launched = launch("secret_from_environment")
    (launched.checkout / ".env.example").write_text(
        "# Copy to .env\nexport PAYMENT_SECRET='of the example'\nDATABASE_URL=postgres://db/shop\n"
    )
    attempt, _ = start(launched, probe_server)
    assert dict(attempt.variables) == {
        "DATABASE_URL": "{database_url}",
        "PAYMENT_SECRET": "of the example",
    }


ONE_BY_ONE = "[os.environ[f'SHOP_PART_{number}'] for number in range(5)]"


@pytest.mark.parametrize(
    ("line", "variables", "attempts"),
    [
        pytest.param("os.getenv('STAGE')", {}, 1, id="nothing asks for it"),
        pytest.param("int(os.environ['SMTP_PORT'])", {"SMTP_PORT": "1"}, 2, id="a number"),
        pytest.param(
            "assert os.getenv('STAGE'), 'set STAGE first'", {"STAGE": "dummy"}, 2, id="in the text"
        ),
        pytest.param(
            "os.getenv('MAPS_API_KEY'), os.getenv('APP_SALT') or exit(1)",
            {"APP_SALT": SECRET},
            2,
            id="a secret that has no name",
        ),
        pytest.param(
            ONE_BY_ONE,
            {f"SHOP_PART_{number}": "dummy" for number in range(5)},
            6,
            id="one by one",
        ),
    ],
)
def test_variables_are_found_by_what_fails(line, variables, attempts, launch, probe_server):
    launched = launch("sync_ini")
    env = launched.checkout / "migrations/env.py"
    env.write_text(f"import os\n{line}\n{env.read_text()}")
    attempt, needed = start(launched, probe_server)
    assert (dict(attempt.variables), needed) == (variables, attempts)


def test_a_rewritten_dialect_is_come_back_to_once(launch, probe_server):
    launched = launch("sqlite_default")
    env = launched.checkout / "migrations/env.py"
    refusal = "if 'SHOP_DATABASE_URL' in os.environ:\n    raise RuntimeError('not yet')\n"
    env.write_text(f"import os\n{refusal}{env.read_text()}")
    attempt, attempts = start(launched, probe_server)
    assert attempt.reasons == ("with SHOP_DATABASE_URL set it does not start",)
    assert (attempt.variables, attempt.ways, attempts) == ((), (Way.OTHER_DIALECT,), 3)
    assert start(again(launched, attempt), probe_server)[1] == 1


def test_an_argument_is_asked_for_and_can_be_given(launch, probe_server):
    launched = launch("x_argument")
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert raised.value.what == "env.py demands the argument `-x tenant=…`: KeyError: 'tenant'"
    assert raised.value.where == "migrations/env.py:4"
    assert raised.value.fix == "Give it in the policy file: `project: {x: {tenant: …}}`"
    attempt, attempts = start(replace(launched, arguments={"tenant": "a"}), probe_server)
    assert (attempt.reasons, attempts) == ((), 1)


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        pytest.param(
            "raise SystemExit('STAGE is none of dev, prod') if os.environ['STAGE'] else 0",
            "the project starts with a made-up value of `STAGE` no further than to: "
            "SystemExit: STAGE is none of dev, prod",
            "`project: {env: {STAGE: …}}`",
            id="made-up value",
        ),
        pytest.param(
            "open(os.environ['KEYS_FILE'])",
            "the project does not start without `KEYS_FILE`: KeyError: 'KEYS_FILE'",
            "`project: {env: {KEYS_FILE: …}}`",
            id="file",
        ),
        pytest.param(
            "open(os.path.expanduser('~/.shop.ini')); raise ValueError('no ini')",
            "env.py cannot use a made-up ~/.shop.ini: ValueError: no ini",
            "`project: {home: {.shop.ini: …}}`",
            id="home file of another kind",
        ),
        pytest.param(
            "__import__('subprocess').run(['git', 'rev-parse', 'HEAD'], check=True)",
            "env.py could not be run: CalledProcessError: Command '['git', 'rev-parse', 'HEAD']' "
            "returned non-zero exit status 128.",
            "without git's history",
            id="git",
        ),
    ],
)
def test_says_what_to_give(line, what, fix, launch, probe_server):
    launched = launch("sync_ini")
    env = launched.checkout / "migrations/env.py"
    env.write_text(f"import os\n{line}\n{env.read_text()}")
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert raised.value.what.partition(" (tried")[0] == what
    assert fix in str(raised.value.fix)
    assert raised.value.where == "migrations/env.py:2"


@needs(PYDANTIC)
def test_of_nested_settings_only_what_cannot_be_made_up_is_asked_for(launch, probe_server):
    launched = launch("sync_ini")
    (launched.checkout / "settings.py").write_text(
        "from typing import Literal\n"
        "from pydantic import BaseModel, PostgresDsn\n"
        "from pydantic_settings import BaseSettings, SettingsConfigDict\n"
        "class Database(BaseModel):\n"
        "    url: PostgresDsn\n"
        "class Settings(BaseSettings):\n"
        "    model_config = SettingsConfigDict(env_prefix='APP__', env_nested_delimiter='__')\n"
        "    db: Database\n"
        "    stage: Literal['test', 'live']\n"
        "Settings()\n"
    )
    env = launched.checkout / "migrations/env.py"
    env.write_text(f"import settings\n{env.read_text()}")
    with (
        pytest.raises(ProbeError) as raised,
        open_probe(launched, probe_server.new_target),
    ):
        pass
    assert raised.value.what.startswith("the project does not start without `APP__STAGE`: ")
    assert raised.value.what.endswith(
        "(tried: APP__DB__URL was unset; set to the ephemeral database)"
    )
