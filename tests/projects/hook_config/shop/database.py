from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config

MIGRATIONS = Path(__file__).parent.parent / "migrations"


@dataclass
class Settings:
    url: str
    schema: str


def make_config(settings):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["settings"] = settings
    return config
