"""The names and recipes of `flask shell` and `chatstore shell`."""

from typing import Any

import click
from flask import Flask
from sqlalchemy import delete, func, select, update

from chatstore.db import db, run_write, transaction
from chatstore.models import ChatSession, Message
from chatstore.services.background_deletions import finish_deletions
from chatstore.store import messages, session_lists, sessions
from chatstore.web.auth import LOCAL_OWNER

# (title, recipe): each recipe works as printed once the earlier ones have run.
RECIPES = (
    (
        "find a session",
        "chat = db.session.scalars(select(ChatSession)"
        '.where(ChatSession.name.icontains("plan"))).first()',
    ),
    ("read it", "for m in chat.messages: print(m.seq, m.role, m.content)\n"),
    (
        "rename it",
        "chat = run_write(update_session, chat.id, owner_id=chat.owner_id,"
        ' changes={"name": "New name"})',
    ),
    (
        "delete it",
        "run_write(delete_session, chat.id, owner_id=chat.owner_id)"
        " and finish_deletions()",
    ),
    (
        "count by day",
        "db.session.execute(select(func.date(Message.timestamp), func.count())"
        ".group_by(func.date(Message.timestamp))).all()",
    ),
)
BANNER = "\n".join(
    ["Available: db, the models, the store functions, select, func. Recipes:"]
    + [f"# {title}\n{recipe}" for title, recipe in RECIPES]
)


def init_shell(app: Flask) -> None:
    """Add our names, and a banner with the recipes, to the shells of `app`."""
    app.shell_context_processor(_open_shell)


def _open_shell() -> dict[str, Any]:
    click.echo(BANNER)
    return shell_names()


def shell_names() -> dict[str, Any]:
    """Return the objects that a shell offers, by name."""
    return {
        "LOCAL_OWNER": LOCAL_OWNER,
        "ChatSession": ChatSession,
        "Message": Message,
        "MessageRange": messages.MessageRange,
        "append_message": messages.append_message,
        "create_session": sessions.create_session,
        "db": db,
        "delete": delete,
        "delete_session": sessions.delete_session,
        "finish_deletions": finish_deletions,
        "func": func,
        "get_message": messages.get_message,
        "get_session": sessions.get_session,
        "run_write": run_write,
        "list_messages": messages.list_messages,
        "list_sessions": session_lists.list_sessions,
        "select": select,
        "transaction": transaction,
        "update": update,
        "update_session": sessions.update_session,
    }
