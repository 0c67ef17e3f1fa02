"""Counts over the data of all owners, for administrators."""

from sqlalchemy import func, select

from chatstore.clock import format_instant
from chatstore.db import db, is_sqlite
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import COPYING_OWNER, DELETED_OWNER, TRASH_OWNER
from chatstore.store.deletions import count_hidden

# A backup may have an older schema, so we use a column that every schema has.
_IS_VISIBLE = ChatSession.owner_id.not_in([DELETED_OWNER, COPYING_OWNER, TRASH_OWNER])


def count_sessions() -> int:
    """Return how many sessions there are, without deleted ones."""
    return db.session.scalar(select(func.count()).where(_IS_VISIBLE)) or 0


def count_trash() -> int:
    """Return how many sessions are in the trash."""
    in_trash = ChatSession.owner_id == TRASH_OWNER
    return db.session.scalar(select(func.count()).where(in_trash)) or 0


def count_messages() -> int:
    """Return how many messages there are."""
    return db.session.scalar(select(func.count()).select_from(Message)) or 0


def get_stats() -> dict[str, int | str]:
    """Return counts, dates and sizes by name, in the order to show them."""
    owners = select(func.count(ChatSession.owner_id.distinct())).where(_IS_VISIBLE)
    stats: dict[str, int | str] = {
        "sessions": count_sessions(),
        "messages": count_messages(),
        "owners": db.session.scalar(owners) or 0,
    }
    roles = select(Message.role, func.count()).group_by(Message.role)
    for role, count in db.session.execute(roles.order_by(Message.role)):
        stats[f"messages by {role}"] = count
    models = select(ChatSession.llm_model_name, func.count()).where(_IS_VISIBLE)
    for model, count in db.session.execute(
        models.group_by(ChatSession.llm_model_name).order_by(func.count().desc())
    ):
        stats[f"sessions with {model}"] = count
    stats["sessions in the trash"] = count_trash()
    stats["sessions being deleted"] = count_hidden()
    newest = db.session.scalar(
        select(func.max(ChatSession.last_updated_at)).where(_IS_VISIBLE)
    )
    stats["newest activity"] = format_instant(newest) if newest else "never"
    stats["bytes on disk"] = _bytes_on_disk()
    return stats


def _bytes_on_disk() -> int:
    if not is_sqlite():
        size = select(func.pg_database_size(func.current_database()))
        return db.session.scalar(size) or 0
    pages = db.session.connection().exec_driver_sql(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    return int(pages.scalar_one())
