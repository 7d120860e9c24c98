"""The jobs table, and the database that holds it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Enum,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

from hub.errors import HubError
from hub.jobs.model import Kind, Status

LOCK_WAIT_MS = 5_000
"""How long a call waits where another program holds the database's lock; then its caller is asked to come again."""
LONGEST_KEY = 255
"""Characters of an idempotency key."""


def _words(members: type[StrEnum]) -> Enum:
    """A column that holds the values of an enumeration as plain text, on every database."""
    return Enum(members, native_enum=False, length=16, values_callable=lambda kind: [member.value for member in kind])


JOBS = Table(
    "jobs",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("kind", _words(Kind), nullable=False),
    Column("task", String(64), nullable=False),
    Column("status", _words(Status), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("filename", Text, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("result_path", Text),
    Column("result", JSON(none_as_null=True)),
    Column("error_code", String(64)),
    Column("error", Text),
    Column("owner", String(80), nullable=False, server_default=""),
    Column("idempotency_key", String(LONGEST_KEY)),
    Column("fingerprint", String(64)),
    Column("heartbeat_at", Double),
    Column("confirmed_at", Double),
    Column("leased_at", Double),
    Index("jobs_by_turn", "status", "turn"),
    Index("jobs_by_age", "created_at"),
    Index("jobs_by_owner", "owner", "created_at"),
    Index("jobs_by_secret", "secret"),
    Index("jobs_by_key", "owner", "idempotency_key", unique=True),  # Jobs without a key never collide: NULLs differ.
)


def open_database(url: str) -> Engine:
    """Connections to the database behind a SQLAlchemy URL; makes the table if need be.

    Raises HubError (`bad_database`) that says what is wrong.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _bad_database("The address of the jobs database is not one that SQLAlchemy understands", error) from error
    try:
        return _connect(parsed)
    except (SQLAlchemyError, ImportError, OSError) as error:
        # Without its password: this goes to the log.
        address = parsed.render_as_string(hide_password=True)
        raise _bad_database(f"The jobs database {address} cannot be used", error) from error


def _bad_database(words: str, error: Exception) -> HubError:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return HubError("bad_database", f"{words}: {reason[0] if reason else type(error).__name__}")


def _connect(url: URL) -> Engine:
    """Connections to a sound database that has the table."""
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        if not url.database or url.database == ":memory:":
            raise ArgumentError("it must be a file, such as sqlite:////var/lib/hub/hub.sqlite3")
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=16, max_overflow=16, pool_timeout=LOCK_WAIT_MS / 1000)
    try:
        if sqlite:
            event.listen(engine, "connect", _set_up_sqlite)
            _check_sqlite(engine)
        try:
            _bring_up_to_date(engine)
        except DBAPIError:  # Another process may have done the same at the same time; then nothing is left to do.
            _bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _bring_up_to_date(engine: Engine) -> None:
    """Make the table, or give that of an earlier version the columns and indexes it lacks; what is in it stays."""
    with engine.connect() as connection:
        if _names(connection) >= {*JOBS.columns.keys(), *(index.name for index in JOBS.indexes)}:
            return
        connection.rollback()
        if engine.dialect.name == "sqlite":  # Else each change would be a transaction of its own.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        JOBS.metadata.create_all(connection)
        present = _names(connection)
        for column in JOBS.columns:
            if column.name not in present:
                words = CreateColumn(column).compile(dialect=engine.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {JOBS.name} ADD COLUMN {words}")
        if JOBS.c.leased_at.name not in present:  # An earlier version kept everything; that is not to go at once.
            ended = JOBS.c.status.in_([status for status in Status if status.finished])
            connection.execute(JOBS.update().where(ended).values(leased_at=time.time()))
        for index in JOBS.indexes:
            index.create(connection, checkfirst=True)
        connection.commit()


def _names(connection: Connection) -> set[str | None]:
    """Names of the columns and indexes that the table has; none where there is no table."""
    inspector = inspect(connection)
    if not inspector.has_table(JOBS.name):
        return set()
    return {part["name"] for part in (*inspector.get_columns(JOBS.name), *inspector.get_indexes(JOBS.name))}


def _check_sqlite(engine: Engine) -> None:
    """Make damage show now and whole, not later in whatever call meets it."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DatabaseError("PRAGMA quick_check", None, ValueError(f"the file is damaged ({found})"))


def _set_up_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")  # First: the next line can already meet a lock.
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
