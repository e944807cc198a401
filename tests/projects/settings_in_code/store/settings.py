import os


class Settings:
    def __init__(self):
        self.host = os.environ["STORE_DB_HOST"]
        self.port = int(os.environ["STORE_DB_PORT"])
        self.user = os.environ["STORE_DB_USER"]
        self.password = os.getenv("STORE_DB_PASSWORD", "")
        self.database = os.environ["STORE_DB_NAME"]

    @property
    def url(self):
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"


settings = Settings()
