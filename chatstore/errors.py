"""The domain errors: exceptions that carry their HTTP status; imports no Flask.

`status` and `title` are members of RFC 9457 problem details; `slug` ends its `type`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

# A body can contain a million mistakes, so we report only the first ones.
MAX_FLAWS = 100


@dataclass(frozen=True)
class Flaw:
    """One mistake in a request: its place (RFC 6901 JSON pointer) and a sentence."""

    pointer: str
    detail: str


class ChatstoreError(Exception):
    """Base of every error that chatstore raises on purpose."""

    status = 500
    slug = "internal-error"
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedRequest(ChatstoreError):
    """The request cannot be parsed: invalid JSON or a damaged cursor, for example."""

    status = 400
    slug = "malformed-request"
    title = "Malformed request"


class Unauthorized(ChatstoreError):
    """The request does not prove who sent it (RFC 6750, section 3.1)."""

    status = 401
    slug = "unauthorized"
    title = "Unauthorized"

    def __init__(self, detail: str, *, is_refused: bool = True) -> None:
        super().__init__(detail)
        # Whether the request had a credential, which was refused.
        self.is_refused = is_refused


class InsufficientScope(ChatstoreError):
    """The caller is known but may not do this (RFC 6750, section 3.1)."""

    status = 403
    slug = "insufficient-scope"
    title = "Insufficient scope"


class QuotaExceeded(ChatstoreError):
    """The owner has as many sessions, messages or bytes as the server allows."""

    status = 403
    slug = "quota-exceeded"
    title = "Quota exceeded"

    def __init__(self, detail: str, *, limit: int, used: int) -> None:
        super().__init__(detail)
        self.limit, self.used = limit, used


class TokenKeysUnavailable(ChatstoreError):
    """The keys that verify tokens could not be read yet; the caller may retry."""

    status = 503
    slug = "token-keys-unavailable"
    title = "Token keys unavailable"


class ProviderUnavailable(ChatstoreError):
    """The OpenID provider does not answer as it should; the user may retry."""

    status = 503
    slug = "provider-unavailable"
    title = "Provider unavailable"


class NotFound(ChatstoreError):
    """The resource does not exist, or it belongs to another owner."""

    status = 404
    slug = "not-found"
    title = "Not found"


class CrossSiteRequest(ChatstoreError):
    """A page of another site made a browser send a request that changes something."""

    status = 403
    slug = "cross-site-request"
    title = "Cross-site request"


class MisdirectedRequest(ChatstoreError):
    """The request names a host that is not this server (RFC 9110, 15.5.20)."""

    status = 421
    slug = "misdirected-request"
    title = "Misdirected request"


class RequestTimeout(ChatstoreError):
    """The client took too long to send its request."""

    status = 408
    slug = "request-timeout"
    title = "Request timeout"


class SeqConflict(ChatstoreError):
    """`expected_seq` is not `last_seq + 1`: another request appended first."""

    status = 409
    slug = "seq-conflict"
    title = "Another message came first"

    def __init__(self, last_seq: int) -> None:
        super().__init__(
            f"The last seq is {last_seq}, so the next one is {last_seq + 1}."
        )
        self.last_seq = last_seq


class SeqMissing(SeqConflict):
    """`at_seq` names no message of the session."""

    slug = "seq-missing"
    title = "No such message"

    def __init__(self, at_seq: int, last_seq: int) -> None:
        super().__init__(last_seq)
        self.detail = f"There is no message {at_seq}: the last seq is {last_seq}."


class HeadConflict(ChatstoreError):
    """`expected_head` is not the session's head: another request moved it."""

    status = 409
    slug = "head-conflict"
    title = "The head moved"

    def __init__(self, head_seq: int) -> None:
        super().__init__(f"The session's head is message {head_seq}.")
        self.head_seq = head_seq


class ParentMissing(ChatstoreError):
    """`parent_seq` names no message of the session."""

    status = 409
    slug = "parent-missing"
    title = "No such parent"

    def __init__(self, parent_seq: int, last_seq: int) -> None:
        super().__init__(
            f"There is no message {parent_seq} to follow: the last seq is {last_seq}."
        )
        self.last_seq = last_seq


class SessionIdTaken(ChatstoreError):
    """A session has the id already, whoever owns it."""

    status = 409
    slug = "id-taken"
    title = "Session id taken"

    def __init__(self, session_id: UUID) -> None:
        super().__init__(f"The id {session_id} is taken. Choose another random UUID.")


class ExternalIdTaken(ChatstoreError):
    """Another session of the owner has the external id."""

    status = 409
    slug = "external-id-taken"
    title = "External id taken"

    def __init__(self, session_id: UUID, *, restoring: UUID | None = None) -> None:
        detail = f"Session {session_id} has this external_id."
        if restoring is not None:
            detail = (
                f"Session {session_id} has the external_id of session {restoring},"
                " which stays in the trash. Change the external_id of the former, then"
                " restore again."
            )
        super().__init__(detail)


class HeadMissing(ChatstoreError):
    """`head_seq` names no message of the session."""

    status = 409
    slug = "head-missing"
    title = "No such head"

    def __init__(self, head_seq: int, last_seq: int) -> None:
        super().__init__(
            f"There is no message {head_seq} to show: the last seq is {last_seq}."
        )
        self.last_seq = last_seq


class TooManyForks(ChatstoreError):
    """A path leaves the log too often to be walked in one request."""

    status = 409
    slug = "too-many-forks"
    title = "Too many forks"

    def __init__(self, max_forks: int) -> None:
        super().__init__(
            f"The path has more than {max_forks} forks before this page. Page with"
            " order=desc and limit from the head. Each next page has the smallest seq"
            " of the page before as both path and before."
        )


class MessageDeleted(ChatstoreError):
    """The message was deleted, so it cannot change, and its answer is not repeated."""

    status = 410
    slug = "message-deleted"
    title = "Message deleted"


class TokenExpired(ChatstoreError):
    """Changes since the token may be forgotten, so the caller must read everything."""

    status = 410
    slug = "token-expired"
    title = "Token expired"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason} Read everything again: take a new token first, by a request"
            " without since, then read all sessions and messages."
        )


class TooManyRevisions(ChatstoreError):
    """The message was edited so often that its revisions reach their bound."""

    status = 409
    slug = "too-many-revisions"
    title = "Too many revisions"


class TooManyShares(ChatstoreError):
    """The session has as many valid links as it may have."""

    status = 409
    slug = "too-many-shares"
    title = "Too many links"

    def __init__(self, max_shares: int) -> None:
        super().__init__(
            f"The session has {max_shares} links already (CHATSTORE_MAX_SHARES). Revoke"
            " one first."
        )


class TooManyRequests(ChatstoreError):
    """The caller or the address has sent too many requests; it may retry later."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"

    def __init__(
        self, detail: str, *, counted: str = "requests", retry_after_seconds: int
    ) -> None:
        super().__init__(detail)
        self.counted = counted
        self.retry_after_seconds = retry_after_seconds


class TooManyFailedLogins(TooManyRequests):
    """The address has sent too many wrong credentials, and this one is wrong too."""


class PreconditionFailed(ChatstoreError):
    """The resource changed since the caller last read it."""

    status = 412
    slug = "precondition-failed"
    title = "Precondition failed"


class UnsupportedMediaType(ChatstoreError):
    """The body is not sent as JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"


class ValidationFailed(ChatstoreError):
    """The request can be parsed but is invalid; `flaws` lists its mistakes."""

    status = 422
    slug = "validation-failed"
    title = "Validation failed"

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = list(islice(flaws, MAX_FLAWS))
        places = ", ".join(flaw.pointer or "the body" for flaw in self.flaws[:3])
        more = " and more" if len(self.flaws) > 3 else ""
        super().__init__(f"The request is not valid: see {places[:300]}{more}.")


class IdempotencyKeyReused(ValidationFailed):
    """An earlier request used the key with another body, path or method."""

    slug = "idempotency-key-reused"
    title = "Idempotency key reused"

    def __init__(self, key: str, *, is_other_body: bool) -> None:
        detail = f"Another request has used Idempotency-Key {key!r}. Use a new key."
        if is_other_body:
            detail = (
                f"A request with another body has used Idempotency-Key {key!r}. A retry"
                " must send the same bytes, with JSON members in the same order."
            )
        super().__init__([Flaw("", detail)])
        self.detail = detail  # the body has no flaw


class TooManyStreams(ChatstoreError):
    """The process already streams `max_streams` listings; the caller may retry."""

    status = 503
    slug = "too-many-streams"
    title = "Too many streams"


class DatabaseUnavailable(ChatstoreError):
    """The database cannot serve the request now; the caller may retry."""

    status = 503
    slug = "database-unavailable"
    title = "Database unavailable"
    retry_after_seconds = 2


class DatabaseFull(DatabaseUnavailable):
    """The database has no room for writes; reads still work."""

    slug = "database-full"
    title = "Database full"


class OutcomeUnknown(DatabaseUnavailable):
    """The connection was lost during the commit, so its outcome is unknown."""

    slug = "outcome-unknown"
    title = "Outcome unknown"


class SettingsError(ChatstoreError):
    """A bad setting stops the start; the text names it, the reason and the remedy."""

    slug = "settings-error"
    title = "Bad settings"


class OwnerError(ChatstoreError):
    """A command on an owner cannot go on; the text says why and what to do."""

    slug = "owner-error"
    title = "Owner error"


class BackupError(ChatstoreError):
    """A backup or a restore failed; the text says why."""

    slug = "backup-error"
    title = "Backup error"


class NoRowSecurity(ChatstoreError):
    """PostgreSQL does not limit requests to their owner's rows as it should."""

    status = 503
    slug = "no-row-security"
    title = "Row security missing"


class WrongRevision(ChatstoreError):
    """The database schema is at a revision that this version cannot serve."""

    status = 503
    slug = "wrong-revision"
    title = "Database needs migrating"
