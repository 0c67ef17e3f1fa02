"""Configures structlog for our log lines and the standard library's; no Flask.

Lines go to standard error. They contain no message text: no body is logged, and
tracebacks omit the values of local variables.
"""

import logging
import logging.config
import sys
from typing import Any

import structlog
from structlog.typing import Processor

_SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _resolve_style(style: str) -> str:
    if style == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return style


def _renderers(style: str) -> list[Processor]:
    if _resolve_style(style) == "console":
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


class _HideRequestText(logging.Filter):
    """Removes gunicorn's quote of an unreadable request, which may be a body."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith("Invalid request from"):
            record.msg, record.args = message.partition(": ")[0], ()
        return True


# We add this note to an error that we have logged ourselves.
LOGGED_NOTE = "logged"


class _DropLoggedErrors(logging.Filter):
    """Drops gunicorn's traceback of an error that has the note LOGGED."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return LOGGED_NOTE not in getattr(error, "__notes__", ())


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Return the argument of `logging.config.dictConfig`.

    `style` is json, console, or auto: console on a terminal, json elsewhere.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED_PROCESSORS,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *_renderers(style),
                ],
            }
        },
        "filters": {
            "without request text": {"()": _HideRequestText},
            "without logged errors": {"()": _DropLoggedErrors},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "structlog",
                "filters": ["without request text", "without logged errors"],
            }
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            # `chatstore migrate` reports each step itself, so we hide Alembic's lines.
            "alembic": {"level": "WARNING"},
            "gunicorn.error": {"level": level.upper(), "handlers": ["stderr"]},
        },
    }


def configure_logs(*, level: str, style: str) -> None:
    """Send every log line of this process through structlog."""
    logging.config.dictConfig(logging_config(level=level, style=style))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED_PROCESSORS,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
