"""Words that models and schemas share; must not know either."""

from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a message, in the words of the common chat APIs."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class Order(StrEnum):
    """Which way a listing runs."""

    ASC = "asc"
    DESC = "desc"


class SessionSort(StrEnum):
    """What a list of sessions is sorted by."""

    LAST_UPDATED_AT = "last_updated_at"
    CREATED_AT = "created_at"
    NAME = "name"


class Archived(StrEnum):
    """Which sessions a filter lets through."""

    NO = "false"
    YES = "true"
    ANY = "any"


class Facet(StrEnum):
    """What sessions can be filtered by that a session has several of."""

    TAG = "tag"
    DOCUMENT = "document"


class BulkAction(StrEnum):
    """What can be done to many sessions at once."""

    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    PIN = "pin"
    UNPIN = "unpin"
    ADD_TAGS = "add_tags"
    REMOVE_TAGS = "remove_tags"
    DELETE = "delete"
