"""Lists the blueprints that the application registers; each file has one."""

from chatstore.routes import (
    audit,
    branches,
    changes,
    corrections,
    docs,
    facets,
    feedback,
    forks,
    health,
    keys,
    logins,
    me,
    messages,
    openid_logins,
    search,
    sessions,
    shared,
    shares,
    static_files,
    ui,
    usage,
)

# The API document lists the blueprints in this order, with these descriptions.
API_BLUEPRINTS = {
    sessions.bp: "Conversations",
    messages.bp: "The messages of a conversation",
    branches.bp: "The branches of a conversation",
    corrections.bp: "Edit, delete and rate messages",
    feedback.bp: "Rated messages",
    forks.bp: "Copies of branches",
    shares.bp: "Links that share a conversation",
    shared.bp: "A shared conversation, without a login",
    changes.bp: "What changed, for clients that keep a copy",
    search.bp: "Search names and messages",
    facets.bp: "Tags and models to filter by",
    usage.bp: "What was used",
    me.bp: "Who is asking, and what applies",
    keys.bp: "API keys, for administrators",
    audit.bp: "The audit log, for administrators",
    health.bp: "For monitors",
}
PAGE_BLUEPRINTS = (ui.bp, docs.bp, logins.bp, openid_logins.bp, static_files.bp)
