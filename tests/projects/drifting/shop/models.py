import sqlalchemy as sa

metadata = sa.MetaData()
users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("name", sa.String(40), nullable=False, server_default="x", comment="who"),
    comment="people",
)
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.id")),
    sa.Column("kept", sa.Integer(), unique=True),
)
invoices = sa.Table("invoices", metadata, sa.Column("id", sa.Integer()), schema="billing")
