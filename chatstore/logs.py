"""Sets up structlog, for our lines and those of the standard library; no Flask.

Lines go to standard error. They carry no message text: nothing logs a body, and
tracebacks are written without the values of local variables.
"""

import logging
import logging.config
import sys
from typing import Any

import structlog
from structlog.typing import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


class _WithoutRequestText(logging.Filter):
    """Cuts what gunicorn quotes of a request that it cannot read: it may be a body."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith("Invalid request from"):
            record.msg, record.args = message.partition(": ")[0], ()
        return True


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """Return the `logging.config.dictConfig` for one way of writing lines.

    `style` is json, console, or auto: console on a terminal, json elsewhere.
    """
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    renderer: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if style == "console"
        else [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderer,
                ],
            }
        },
        "filters": {"without request text": {"()": _WithoutRequestText}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "structlog",
                "filters": ["without request text"],
            }
        },
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            # Alembic reports each step at info; `chatstore migrate` does so itself.
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
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
