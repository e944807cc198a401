from typing import Optional

from pydantic.v1 import AnyUrl, BaseModel, BaseSettings, Field, PostgresDsn, RedisDsn, SecretStr


class Mail(BaseModel):
    host: str
    port: int


class Settings(BaseSettings):
    secret_key: SecretStr
    store: PostgresDsn
    broker: RedisDsn
    site: Optional[AnyUrl] = Field(...)
    region: str = Field(env="AWS_REGION_OF_SHOP")
    debug: bool
    mail: Mail

    class Config:
        env_prefix = "SHOP_"
        env_nested_delimiter = "__"


settings = Settings()
