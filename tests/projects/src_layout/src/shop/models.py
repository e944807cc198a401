from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()
Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)
Table("orders", metadata, Column("id", Integer, primary_key=True))
