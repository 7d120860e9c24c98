"""The jobs table, and the database that holds it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Column,
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
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateColumn

from hub.errors import HubError
from hub.jobs.model import Kind, Status

LOCK_WAIT_MS = 60_000
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
        JOBS.metadata.create_all(engine)
        _upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _upgrade(engine: Engine) -> None:
    """Give the table of an earlier version the columns and indexes that it lacks; what is in it stays."""
    present = {column["name"] for column in inspect(engine).get_columns(JOBS.name)}
    with engine.begin() as connection:
        for column in JOBS.columns:
            if column.name not in present:
                words = CreateColumn(column).compile(dialect=engine.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {JOBS.name} ADD COLUMN {words}")
        for index in JOBS.indexes:
            index.create(connection, checkfirst=True)


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
