"""Defines every setting and reads them once from `CHATSTORE_*` variables.

This module does not know how values are used; callers pass the frozen object down.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chatstore.errors import SettingsError

PREFIX = "CHATSTORE_"
# An entry of a PostgreSQL B-tree has at most 2,704 bytes. The facet index holds owner,
# kind, value and session id, so a value may have 512 characters of 4 bytes.
MAX_FACET_LENGTH = 512
_MEBIBYTE = 1024 * 1024
_HOST = re.compile(
    r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*"
)
_POSTGRESQL_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")


def _setting(
    default: Any,
    meaning: str,
    *,
    minimum: int = 0,
    maximum: int = 0,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {
        "meaning": meaning,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return field(default=default, metadata=metadata, repr=isinstance(default, int))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process.

    `database_url` is always a full SQLAlchemy URL: SQLite paths are absolute,
    PostgreSQL names its driver. `repr` omits texts because they may hold a password.
    """

    database_url: str = _setting(
        "sqlite:///instance/chatstore.db",
        "where the data lives: sqlite:///path or postgresql://user:password@host/name",
    )
    database_pooler: str = _setting(
        "none",
        "pooler between chatstore and PostgreSQL, in transaction mode",
        choices=("none", "pgbouncer"),
    )
    bind: str = _setting(
        "127.0.0.1:8000", "address to listen on: host:port or unix:/path"
    )
    allowed_hosts: str = _setting(
        "",
        "names of the server, separated by commas; localhost and its own address always"
        " count; .example.org is example.org and all names below it; * is any name",
    )
    workers: int = _setting(2, "server processes", minimum=1, maximum=1000)
    threads: int = _setting(
        8,
        "requests that each process serves at a time, without streams; also the size of"
        " its database pool",
        minimum=1,
        maximum=1000,
    )
    max_streams: int = _setting(
        64,
        "long listings that each process streams at a time; each has its own thread and"
        " holds no database connection",
        minimum=1,
        maximum=1000,
    )
    max_waiting: int = _setting(
        1000,
        "requests that wait for changes in each process at a time; each has an open"
        " file but no thread, and the next one is answered at once",
        maximum=100_000,
    )
    default_model_name: str = _setting(
        "gpt-4o-mini", "model of a session that is created without `llm_model_name`"
    )
    secret_key: str = _setting(
        "",
        "signs paging cursors, and is the same on every node; if empty, chatstore"
        " creates one in the file secret_key next to the database",
    )
    log_level: str = _setting(
        "info",
        "least severe level that is logged",
        choices=("debug", "info", "warning", "error"),
    )
    log_format: str = _setting(
        "auto",
        "format of log lines; auto is console on a terminal and json elsewhere",
        choices=("auto", "json", "console"),
    )
    proxy_hops: int = _setting(
        0,
        "number of reverse proxies in front whose X-Forwarded-* headers are trusted",
        maximum=100,
    )
    request_read_seconds: int = _setting(
        60,
        "longest time for a client to send one request, headers and body",
        minimum=1,
        maximum=86_400,
    )
    max_body_bytes: int = _setting(
        8 * 1024 * 1024,
        "largest request body, in bytes",
        minimum=1024,
        maximum=64 * _MEBIBYTE,
    )
    max_content_bytes: int = _setting(
        1024 * 1024,
        "largest message content, in bytes of UTF-8",
        minimum=1,
        maximum=16 * _MEBIBYTE,
    )
    max_message_bytes: int = _setting(
        8 * 1024 * 1024,
        "largest parts, tool calls and other fields of a message, in bytes of JSON",
        minimum=1024,
        maximum=32 * _MEBIBYTE,
    )
    max_metadata_bytes: int = _setting(
        64 * 1024,
        "largest message metadata, in bytes of compact JSON",
        minimum=2,
        maximum=_MEBIBYTE,
    )
    max_session_metadata_bytes: int = _setting(
        64 * 1024,
        "largest session metadata, in bytes of compact JSON",
        minimum=2,
        maximum=256 * 1024,
    )
    max_batch_size: int = _setting(
        1000, "most messages in a batch", minimum=1, maximum=10_000
    )
    max_json_depth: int = _setting(
        32, "deepest nesting of arrays and objects in a body", minimum=4, maximum=100
    )
    max_page_size: int = _setting(
        1000, "largest `limit` of a listing", minimum=1, maximum=10_000
    )
    default_page_size: int = _setting(
        50, "default `limit` of the session list", minimum=1, maximum=10_000
    )
    max_query_length: int = _setting(
        10_000, "longest search query, in characters", minimum=1, maximum=100_000
    )
    max_offset: int = _setting(
        100_000,
        "largest `offset` of the session list; cursors reach all sessions",
        maximum=1_000_000,
    )
    max_documents: int = _setting(
        1000, "most rag_document_ids in a session", maximum=2000
    )
    max_document_id_length: int = _setting(
        512,
        "longest rag_document_id, in characters",
        minimum=1,
        maximum=MAX_FACET_LENGTH,
    )
    max_tags: int = _setting(50, "most metadata_tags in a session", maximum=1000)
    max_tag_length: int = _setting(
        64, "longest metadata_tag, in characters", minimum=1, maximum=MAX_FACET_LENGTH
    )
    max_bulk_sessions: int = _setting(
        10_000, "most sessions that one bulk request changes", minimum=1, maximum=10_000
    )
    tombstone_days: int = _setting(
        30,
        "days for which the change feed remembers deletions; a client that asks less"
        " often must read everything again",
        minimum=1,
        maximum=3650,
    )
    trash_seconds: int = _setting(
        86_400,
        "how long a deleted session can be restored; 0: it is gone at once",
        maximum=366 * 86_400,
    )
    retention_days: int = _setting(
        0,
        "days after its last message when a session that is not pinned is deleted for"
        " good; 0: never",
        maximum=36_500,
    )
    lock_timeout_seconds: int = _setting(
        30,
        "longest wait of a request, over all its attempts, for the write lock (SQLite)"
        " or for locked rows",
        minimum=1,
        maximum=3600,
    )
    pool_timeout_seconds: int = _setting(
        5, "longest wait for a database connection", minimum=1, maximum=3600
    )
    statement_timeout_seconds: int = _setting(
        30,
        "longest run of one database statement in a request; 0 removes the bound",
        maximum=86_400,
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the `CHATSTORE_*` variables of `environ`.

        Raises SettingsError, naming the variable, for an unknown or bad one.
        """
        known = {PREFIX + each.name.upper(): each for each in fields(cls)}
        values: dict[str, Any] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX):
                continue
            if variable not in known:
                raise SettingsError(_explain_unknown(variable, list(known)))
            values[known[variable].name] = _parse(variable, text, known[variable])
        return cls(**values)

    def __post_init__(self) -> None:
        object.__setattr__(self, "database_url", _normalize_url(self.database_url))
        host = r"\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+"
        address = re.fullmatch(rf"unix:.+|(?:{host}):([0-9]{{1,5}})", self.bind)
        if not address or int(address[1] or 0) > 65535:
            raise SettingsError(
                f"{PREFIX}BIND is {self.bind!r}. Give host:port or unix:/path."
            )
        for name in self.allowed_host_names:
            if not _HOST.fullmatch(name):
                raise SettingsError(
                    f"{PREFIX}ALLOWED_HOSTS has {name!r}. Give names such as"
                    " chat.example.org or .example.org, without scheme and port."
                )
        if self.secret_key and not self.secret_key.strip():
            raise SettingsError(
                f"{PREFIX}SECRET_KEY is only white space. Set it to a long random text,"
                " or leave it empty, and chatstore creates one."
            )
        model = self.default_model_name
        if not model.strip() or len(model) > 255:
            raise SettingsError(
                f"{PREFIX}DEFAULT_MODEL_NAME must have 1 to 255 characters, and not"
                " only white space."
            )
        if self.default_page_size > self.max_page_size:
            raise SettingsError(
                f"{PREFIX}DEFAULT_PAGE_SIZE is {self.default_page_size}, but"
                f" {PREFIX}MAX_PAGE_SIZE is only {self.max_page_size}."
            )

    @property
    def allowed_host_names(self) -> tuple[str, ...]:
        """The names in `allowed_hosts` as browsers send them: in lower-case ASCII."""
        return tuple(
            _normalize_host(name)
            for name in self.allowed_hosts.split(",")
            if name.strip()
        )

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, or None on PostgreSQL."""
        if not self.database_url.startswith("sqlite:"):
            return None
        return Path(self.database_url.removeprefix("sqlite:///"))


def _explain_unknown(variable: str, known: list[str]) -> str:
    close = difflib.get_close_matches(variable.upper(), known, n=1)
    hint = f" Did you mean {close[0]}?" if close else " See docs/settings.md."
    return f"{variable} is not a setting of chatstore.{hint}"


def _parse(variable: str, text: str, setting: Any) -> str | int:
    choices = setting.metadata["choices"]
    if setting.type is int:
        minimum, maximum = setting.metadata["minimum"], setting.metadata["maximum"]
        is_number = re.fullmatch(r"[0-9]{1,15}", text.strip())
        if not is_number or not minimum <= int(text) <= maximum:
            raise SettingsError(
                f"{variable} is {text!r}. Give a whole number from {minimum} to"
                f" {maximum}."
            )
        return int(text)
    if choices and text.lower() not in choices:
        raise SettingsError(
            f"{variable} is {text!r}. Give one of {', '.join(choices)}."
        )
    return text.lower() if choices else text


def _normalize_host(name: str) -> str:
    name = name.strip().lower().removesuffix(".")
    if re.fullmatch(r"\[[0-9a-f:.]+\]", name):
        return name[1:-1]
    dot = "." if name.startswith(".") else ""
    try:
        return dot + name.removeprefix(".").encode("idna").decode("ascii")
    except UnicodeError:
        return name  # `__post_init__` refuses it and quotes it as given


def _can_parse_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.netloc.count("@") <= 1 and "#" not in url


def _normalize_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme in _POSTGRESQL_SCHEMES:
        if not _can_parse_url(url):
            # The reason would quote parts of the password, so we leave it out.
            raise SettingsError(
                f"{PREFIX}DATABASE_URL cannot be read. Percent-encode special"
                " characters in the user name and password."
            )
        return f"postgresql+psycopg://{rest}"
    if scheme != "sqlite":
        # A text without a scheme may begin with a password, so we do not quote it.
        kind = repr(scheme) if re.fullmatch(r"[a-z0-9+]{1,20}", scheme) else "no scheme"
        raise SettingsError(
            f"{PREFIX}DATABASE_URL starts with {kind if rest else 'no scheme'}. Give"
            " sqlite:///path or postgresql://user:password@host/name."
        )
    path = rest.removeprefix("/")
    if not rest.startswith("/") or path in ("", ":memory:") or re.search("[?#]", path):
        raise SettingsError(
            f"{PREFIX}DATABASE_URL must name a database file: sqlite:///relative/path"
            " or sqlite:////absolute/path, without options."
        )
    return f"sqlite:///{Path(path).absolute()}"
