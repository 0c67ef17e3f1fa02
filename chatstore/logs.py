"""Configures structlog for our log lines and the standard library's; no Flask.

Lines go to standard error. They contain no message text: no body is logged, and
tracebacks omit the values of local variables.
"""

import json
import logging
import logging.config
import sys
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

_encode_json = json.JSONEncoder(ensure_ascii=False).encode
_add_timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
_SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    _add_timestamp,
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


class _RequestLog:
    """The stream and the format of request lines."""

    def __init__(self, *, style: str, stream: TextIO) -> None:
        self.stream = stream
        self._console = (
            _renderers(style)[0] if _resolve_style(style) == "console" else None
        )

    def render(self, line: dict[str, Any]) -> str:
        if self._console is None:
            return _encode_json(line)
        return str(self._console(None, "info", line))


_request_log = _RequestLog(style="auto", stream=sys.stderr)


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
    global _request_log
    _request_log = _RequestLog(style=style, stream=sys.stderr)
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


def log_request(name: str, **members: Any) -> None:
    """Write the line of one request, as `get_logger(name).info("request", ...)` would.

    It costs a quarter of that call, which every request would pay. A write error is
    ignored, so that it does not fail the request.
    """
    if not logging.getLogger(name).isEnabledFor(logging.INFO):
        return
    line = {"event": "request", **members, "logger": name, "level": "info"}
    _add_timestamp(None, "info", line)
    with suppress(OSError, ValueError):  # a full disk, a closed file
        _request_log.stream.write(f"{_request_log.render(line)}\n")
