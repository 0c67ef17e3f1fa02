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
