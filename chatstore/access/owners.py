"""What an owner id may be."""

MAX_OWNER_LENGTH = 255
# The owner of everything on a server without logins.
LOCAL_OWNER = "local"


def owner_flaw(owner_id: str) -> str | None:
    """Return why `owner_id` cannot be an owner, as a predicate; None if it can.

    Ids without a visible character are those of hidden sessions (`models.sessions`).
    Lines of logs and tables show the id, so it has no control characters.
    """
    if not owner_id.strip() or owner_id != owner_id.strip():
        return "must not be empty, and must not begin or end with white space"
    if len(owner_id) > MAX_OWNER_LENGTH:
        return f"must have at most {MAX_OWNER_LENGTH} characters"
    if not owner_id.isprintable():
        return "must have printable characters only"
    return None
