"""Alembic's environment: runs on the connection, and within the transaction, that the caller holds.

Without a connection (`alembic upgrade --sql`) it prints the statements for PostgreSQL.
"""

from alembic import context

from collectors.registry.schema import Base

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True, target_metadata=Base.metadata)
else:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
with context.begin_transaction():
    context.run_migrations()
