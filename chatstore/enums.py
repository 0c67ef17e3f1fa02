"""Enumerations that models and schemas share; imports neither."""

from enum import StrEnum


class Role(StrEnum):
    """The author of a message, named as in the common chat APIs."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"
    DEVELOPER = "developer"


class MessageFormat(StrEnum):
    """The form of listed messages, other than that of the API."""

    OPENAI = "openai"


class Order(StrEnum):
    """The direction of a listing."""

    ASC = "asc"
    DESC = "desc"


class SessionSort(StrEnum):
    """The sort key of a session list."""

    LAST_UPDATED_AT = "last_updated_at"
    CREATED_AT = "created_at"
    NAME = "name"


class Archived(StrEnum):
    """The values of the `archived` filter: unarchived sessions, archived ones, both."""

    NO = "false"
    YES = "true"
    ANY = "any"


class Facet(StrEnum):
    """The kinds of filter values of which a session can have several."""

    TAG = "tag"
    DOCUMENT = "document"
    METADATA = "metadata"


class BulkAction(StrEnum):
    """The actions of a bulk request."""

    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    PIN = "pin"
    UNPIN = "unpin"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    DELETE = "delete"
    RESTORE = "restore"
    PURGE = "purge"


class PurgeReason(StrEnum):
    """Why a server deletes a session for good without a request."""

    TRASH = "trash"
    EXPIRED = "expired"
    RETENTION = "retention"


class SearchSort(StrEnum):
    """The order of search hits."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    SEQ = "seq"


class SearchGroup(StrEnum):
    """What search hits are listed under."""

    SESSION = "session"


class SearchPart(StrEnum):
    """The parts of a search, in the order of their hits."""

    NAMES = "names"
    MESSAGES = "messages"


class UsageBucket(StrEnum):
    """The length of the periods in which usage is counted."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class UsageSplit(StrEnum):
    """What the usage of a period is split by."""

    MODEL = "model"
    ROLE = "role"
    NONE = "none"


class Scope(StrEnum):
    """What a caller may do; each scope includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def included(self) -> tuple["Scope", ...]:
        """The scopes that this one includes, itself last."""
        scopes = tuple(Scope)
        return scopes[: scopes.index(self) + 1]


class AuthMode(StrEnum):
    """The ways by which a caller can prove who it is."""

    NONE = "none"
    API_KEY = "api-key"
    JWT = "jwt"
    PROXY = "proxy"


class AuditAction(StrEnum):
    """The acts that the audit log keeps."""

    KEY_ISSUED = "key.issued"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    ACTED_FOR_OWNER = "owner.acted_for"
    LOGIN_FAILED = "login.failed"
    LOGGED_IN = "login.created"
    LOGGED_OUT = "login.ended"
    SHARE_CREATED = "share.created"
    SHARE_REVOKED = "share.revoked"
    SESSIONS_DELETED = "sessions.deleted"
    OWNER_RENAMED = "owner.renamed"
    OWNER_EXPORTED = "owner.exported"
    OWNER_ERASED = "owner.erased"
