"""Defines every setting and reads them once from `CHATSTORE_*` variables.

This module does not know how values are used; callers pass the frozen object down.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chatstore.access.jwt_tokens import MIN_SECRET_BYTES
from chatstore.access.trusted_peers import parse_trusted_peers
from chatstore.enums import AuthMode
from chatstore.errors import SettingsError

PREFIX = "CHATSTORE_"
# An entry of a PostgreSQL B-tree has at most 2,704 bytes. The facet index holds owner,
# kind, value and session id, so a value may have 512 characters of 4 bytes.
MAX_FACET_LENGTH = 512
OPENID_CALLBACK_PATH = "/login/openid/callback"
_MEBIBYTE = 1024 * 1024
_HOST = re.compile(
    r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f.]*"
)
# Headers that mean something else, so no proxy may name the owner in them.
_OTHER_USES = re.compile(
    r"(proxy-)?authorization|cookie|host|origin|referer|user-agent|forwarded|via|date"
    r"|connection|keep-alive|upgrade|te|trailer|transfer-encoding|expect|range|prefer"
    r"|x-forwarded-(for|host|port|proto|prefix|server|scheme|ssl|by|path|method|uri)"
    r"|x-real-ip|x-request-id|x-correlation-id|x-chatstore-.*|idempotency-key"
    r"|traceparent|tracestate|last-event-id|cache-control|pragma"
    r"|(accept|access-control|content|if|sec)(-.*)?"
)
# As browsers write the header Origin.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?"
)
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")
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
    row_security: int = _setting(
        0,
        "1 lets each request see only its owner's rows in PostgreSQL, by the policies"
        " of `chatstore row-security enable`",
        maximum=1,
    )
    bind: str = _setting(
        "127.0.0.1:8000", "address to listen on: host:port or unix:/path"
    )
    allowed_hosts: str = _setting(
        "",
        "names of the server, separated by commas; localhost and its own address always"
        " count; .example.org is example.org and all names below it; * is any name",
    )
    auth: str = _setting(
        "none",
        "how callers prove who they are: none (everybody is the one local owner), or a"
        " list of api-key, jwt and proxy, separated by commas",
    )
    allow_anonymous: int = _setting(
        0,
        "1 lets a server without logins listen on addresses that other machines reach",
        maximum=1,
    )
    jwt_secret: str = _setting(
        "",
        "secret that verifies HS256 tokens, at least 32 bytes; its issuer has it too",
    )
    jwks: str = _setting(
        "",
        "public keys that verify RS256 and ES256 tokens: path or https URL of a JSON"
        " Web Key Set",
    )
    jwt_issuer: str = _setting("", "`iss` that tokens must have; empty: any")
    jwt_audience: str = _setting("", "`aud` that tokens must have; empty: any")
    jwt_leeway_seconds: int = _setting(
        30, "seconds by which the clocks of issuer and server may differ", maximum=3600
    )
    jwt_owner_claim: str = _setting("sub", "claim of a token that is the owner")
    jwt_scope_claim: str = _setting(
        "",
        "claim with the words read, write or admin, as a text or a list; empty: every"
        " token may read and write",
    )
    trusted_proxies: str = _setting(
        "",
        "proxies that may say who the caller is: addresses and networks, separated by"
        " commas; unix is every peer on a unix socket",
    )
    proxy_owner_header: str = _setting(
        "X-Forwarded-User", "header in which a trusted proxy names the owner"
    )
    openid_issuer: str = _setting(
        "",
        "OpenID provider at which browsers sign in: the https URL of its issuer; empty:"
        " none",
    )
    openid_name: str = _setting(
        "OpenID", "name of the provider on the login page: Sign in with …"
    )
    openid_client_id: str = _setting("", "id by which the provider knows chatstore")
    openid_client_secret: str = _setting(
        "", "secret by which the provider knows chatstore; empty for a public client"
    )
    openid_redirect_uri: str = _setting(
        "",
        "URL of /login/openid/callback as the provider knows it; if empty, it has the"
        " host of the request",
    )
    openid_scopes: str = _setting(
        "openid", "what chatstore asks the provider for, such as openid email"
    )
    openid_owner_claim: str = _setting("sub", "claim of an ID token that is the owner")
    openid_scope_claim: str = _setting(
        "",
        "claim of an ID token with the words read, write or admin, as a text or a list;"
        " empty: whoever signs in may read and write",
    )
    sharing: int = _setting(
        1,
        "0 turns off links that read a session without a login: they answer 404",
        maximum=1,
    )
    login_idle_hours: int = _setting(
        24,
        "hours without a request after which a browser must log in again",
        minimum=1,
        maximum=366 * 24,
    )
    login_days: int = _setting(
        14,
        "days after its login at which a browser must log in again",
        minimum=1,
        maximum=366,
    )
    cors_origins: str = _setting(
        "",
        "origins of pages on other hosts that may use the API, such as"
        " https://chat.example.org, separated by commas",
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
    max_shares: int = _setting(
        100,
        "links to a session; at this number, a new link replaces those that ended",
        minimum=1,
        maximum=10_000,
    )
    max_shared_reads: int = _setting(
        120,
        "reads of links that an address may send in a minute; an IPv6 address counts"
        " with all of its /64 network",
        minimum=1,
        maximum=1_000_000,
    )
    requests_per_minute: int = _setting(
        0,
        "requests that a caller may send in a minute; 0: any number",
        maximum=1_000_000,
    )
    address_requests_per_minute: int = _setting(
        0,
        "requests that an address may send in a minute, with or without a login; 0: any"
        " number; an IPv6 address counts with all of its /64 network",
        maximum=1_000_000,
    )
    failed_logins_per_minute: int = _setting(
        10,
        "wrong keys or tokens of an address in a minute that are answered 401; further"
        " ones are answered 429; 0: any number",
        maximum=1_000_000,
    )
    logins_per_minute: int = _setting(
        30,
        "browser logins of an owner in a minute; further ones are answered 429; 0: any"
        " number",
        maximum=1_000_000,
    )
    shares_per_minute: int = _setting(
        60,
        "links that an owner may create in a minute; 0: any number",
        maximum=1_000_000,
    )
    rate_limit_storage: str = _setting(
        "",
        "Redis or Valkey where all processes and nodes count requests, such as"
        " redis://host:6379/0; if empty, each process counts alone",
    )
    max_sessions_per_owner: int = _setting(
        0,
        "sessions of an owner, with those in the trash; 0: any number",
        maximum=10_000_000,
    )
    max_messages_per_owner: int = _setting(
        0,
        "messages of an owner, with those in the trash; 0: any number",
        maximum=60_000_000,
    )
    max_bytes_per_owner: int = _setting(
        0,
        "bytes of an owner's messages, their text and JSON, with earlier revisions and"
        " those in the trash; 0: any number",
        maximum=100 * 1024 * 1024 * _MEBIBYTE,
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
    audit_days: int = _setting(
        365,
        "days for which the audit log keeps an entry, and for which keys and links stay"
        " after their end; 0: for ever",
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
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin) or _DEFAULT_PORT.fullmatch(origin):
                raise SettingsError(
                    f"{PREFIX}CORS_ORIGINS has {origin!r}. Give whole origins such as"
                    " https://chat.example.org, without path, default port and *."
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
        _check_auth(self.auth)
        if self.row_security and self.sqlite_path is not None:
            raise SettingsError(f"{PREFIX}ROW_SECURITY=1 needs PostgreSQL.")
        _check_rate_limits(self)
        _check_jwt(self)
        _check_proxies(self)
        _check_openid(self)
        if self.default_page_size > self.max_page_size:
            raise SettingsError(
                f"{PREFIX}DEFAULT_PAGE_SIZE is {self.default_page_size}, but"
                f" {PREFIX}MAX_PAGE_SIZE is only {self.max_page_size}."
            )

    @property
    def auth_modes(self) -> frozenset[AuthMode]:
        """The ways by which callers can prove who they are."""
        return frozenset(AuthMode(mode) for mode in _auth_words(self.auth))

    @property
    def has_browser_logins(self) -> bool:
        """Whether a browser can log in, with a key or at an OpenID provider."""
        return AuthMode.API_KEY in self.auth_modes or bool(self.openid_issuer)

    @property
    def open_bind_flaw(self) -> str | None:
        """Why the server must not listen at `bind`; None if it may."""
        if AuthMode.NONE not in self.auth_modes or self.allow_anonymous:
            return None
        if self.bind.startswith("unix:") or _is_loopback(self.bind):
            return None
        return (
            f"Without logins, everybody who reaches {self.bind} can read and change all"
            f" sessions. Set {PREFIX}AUTH to api-key, jwt or proxy, or bind to"
            f" 127.0.0.1, or set {PREFIX}ALLOW_ANONYMOUS=1."
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
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins in `cors_origins`."""
        origins = (origin.strip().lower() for origin in self.cors_origins.split(","))
        return tuple(origin for origin in origins if origin)

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, or None on PostgreSQL."""
        if not self.database_url.startswith("sqlite:"):
            return None
        return Path(self.database_url.removeprefix("sqlite:///"))


def _auth_words(auth: str) -> list[str]:
    return [word.strip().lower() for word in auth.split(",")]


def _check_auth(auth: str) -> None:
    words = _auth_words(auth)
    if not {*words} <= {*AuthMode}:
        modes = ", ".join(AuthMode)
        raise SettingsError(
            f"{PREFIX}AUTH is {auth!r}. Give one or several of {modes}."
        )
    if AuthMode.NONE in words and len({*words}) > 1:
        raise SettingsError(
            f"{PREFIX}AUTH is {auth!r}, but none lets everybody in. Leave it out."
        )


def _check_rate_limits(settings: Settings) -> None:
    is_on_socket = settings.bind.startswith("unix:")
    if (
        settings.address_requests_per_minute
        and is_on_socket
        and not settings.proxy_hops
    ):
        raise SettingsError(
            f"{PREFIX}ADDRESS_REQUESTS_PER_MINUTE needs {PREFIX}PROXY_HOPS: on a unix"
            " socket all clients have one address."
        )
    storage = settings.rate_limit_storage
    if storage and not re.match(r"(rediss?|redis\+unix)://.", storage):
        # The text may be a password, so we do not quote it.
        raise SettingsError(
            f"{PREFIX}RATE_LIMIT_STORAGE must begin with redis://, rediss:// or"
            " redis+unix://."
        )


def _check_jwt(settings: Settings) -> None:
    secret, jwks = settings.jwt_secret, settings.jwks
    if AuthMode.JWT in settings.auth_modes and not (secret or jwks):
        raise SettingsError(
            f"{PREFIX}AUTH has jwt, but nothing verifies tokens. Set"
            f" {PREFIX}JWT_SECRET or {PREFIX}JWKS."
        )
    if secret and len(secret.encode(errors="replace")) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{PREFIX}JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes. A shorter"
            " one can be guessed from a single token."
        )
    if "://" in jwks and not is_safe_url(jwks):
        raise SettingsError(
            f"{PREFIX}JWKS must be a file or an https URL without a password. http is"
            " for 127.0.0.1 only, because anybody on the way could change the keys."
        )
    if not settings.jwt_owner_claim:
        raise SettingsError(f"{PREFIX}JWT_OWNER_CLAIM is empty. Give sub, for example.")


def is_safe_url(url: str) -> bool:
    """Whether `url` is https, or http on this machine, and has no password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or not re.fullmatch("[!-~]+", url):
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and _is_loopback(f"{host}:0")
    )


def _check_openid(settings: Settings) -> None:
    issuer, redirect_uri = settings.openid_issuer, settings.openid_redirect_uri
    if not issuer:
        return
    if AuthMode.NONE in settings.auth_modes:
        raise SettingsError(
            f"{PREFIX}OPENID_ISSUER needs {PREFIX}AUTH: none lets everybody in without"
            " a login. Set it to api-key, for example."
        )
    if not is_safe_url(issuer) or "?" in issuer or "#" in issuer:
        raise SettingsError(
            f"{PREFIX}OPENID_ISSUER must be an https URL without a password or a query."
            " http is for 127.0.0.1 only."
        )
    if redirect_uri and not (
        is_safe_url(redirect_uri) and redirect_uri.endswith(OPENID_CALLBACK_PATH)
    ):
        raise SettingsError(
            f"{PREFIX}OPENID_REDIRECT_URI must be an https URL that ends with"
            f" {OPENID_CALLBACK_PATH}."
        )
    if not settings.openid_client_id:
        raise SettingsError(f"{PREFIX}OPENID_ISSUER needs {PREFIX}OPENID_CLIENT_ID.")
    for name in ("client_id", "client_secret", "scopes"):
        if not re.fullmatch("[ -~]*", getattr(settings, f"openid_{name}")):
            raise SettingsError(
                f"{PREFIX}OPENID_{name.upper()} must have ASCII characters only."
            )
    if "openid" not in settings.openid_scopes.split():
        raise SettingsError(f"{PREFIX}OPENID_SCOPES must have the word openid.")
    if not settings.openid_owner_claim or not settings.openid_name.strip():
        raise SettingsError(
            f"{PREFIX}OPENID_OWNER_CLAIM and {PREFIX}OPENID_NAME must not be empty."
        )


def _check_proxies(settings: Settings) -> None:
    header = settings.proxy_owner_header
    is_name = re.fullmatch("[A-Za-z0-9-]{1,64}", header)
    if not is_name or _OTHER_USES.fullmatch(header.lower()):
        raise SettingsError(
            f"{PREFIX}PROXY_OWNER_HEADER is {header!r}. Give the name of a header that"
            " only your proxy sets, such as X-Forwarded-User."
        )
    try:
        peers = parse_trusted_peers(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(
            f"{PREFIX}TRUSTED_PROXIES has {str(error)!r}. Give addresses, networks such"
            " as 10.0.0.0/24, or unix."
        ) from None
    if AuthMode.PROXY in settings.auth_modes and not (peers.networks or peers.has_unix):
        raise SettingsError(
            f"{PREFIX}AUTH has proxy, but {PREFIX}TRUSTED_PROXIES is empty. Name the"
            " proxy that says who the caller is."
        )


def _is_loopback(bind: str) -> bool:
    host = bind.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
