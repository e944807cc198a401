from typing import Optional

from pydantic import BaseModel, Field, PostgresDsn, RedisDsn, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Mail(BaseModel):
    host: str
    port: int


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")

    secret_key: SecretStr
    token_salt: str = Field(default="", min_length=32)
    store: PostgresDsn
    broker: RedisDsn
    region: str = Field(validation_alias="AWS_REGION_OF_SHOP")
    debug: bool
    mail: Mail
    stripe_api_key: Optional[str] = None

    @field_validator("debug")
    @classmethod
    def only_the_debug_build_is_here(cls, value):
        if not value:
            raise ValueError("only the debug build is here")
        return value


settings = Settings()
