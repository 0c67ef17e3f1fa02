"""Notes in the audit log which administrator acted for which owner."""

import threading
from collections import OrderedDict

import structlog

from chatstore.clock import Deadline
from chatstore.db import run_write
from chatstore.enums import AuditAction
from chatstore.store.audit import record_act

# Each request has a log line. A row for each would make every read a write, so the
# audit log gets one row an hour and process for the same actor, owner and method.
_SECONDS = 3600
_MAX_ACTS = 10_000
_Act = tuple[str, str, str]

log = structlog.get_logger(__name__)


class ActingLog:
    """What administrators of this process did lately for owners; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: OrderedDict[_Act, Deadline] = OrderedDict()

    def note(
        self,
        *,
        actor: str,
        owner_id: str,
        method: str,
        address: str | None,
        request_id: str | None,
    ) -> None:
        """Log that `actor` acts for the owner; before the act, so none goes unseen."""
        log.info("acting for an owner", actor=actor, owner=owner_id, method=method)
        act = (actor, owner_id, method)
        with self._lock:
            noted = self._noted.get(act)
        if noted is not None and not noted.is_over:
            return
        run_write(
            record_act,
            AuditAction.ACTED_FOR_OWNER,
            actor=actor,
            owner_id=owner_id,
            address=address,
            request_id=request_id,
            details={"method": method},
        )
        with self._lock:
            self._noted[act] = Deadline(_SECONDS)
            self._noted.move_to_end(act)
            while len(self._noted) > _MAX_ACTS:
                self._noted.popitem(last=False)
