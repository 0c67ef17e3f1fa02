"""Lists the blueprints that the application registers; each file has one."""

from chatstore.routes import (
    branches,
    changes,
    corrections,
    docs,
    facets,
    feedback,
    forks,
    health,
    me,
    messages,
    search,
    sessions,
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
    changes.bp: "What changed, for clients that keep a copy",
    search.bp: "Search names and messages",
    facets.bp: "Tags and models to filter by",
    usage.bp: "What was used",
    me.bp: "Who is asking, and what applies",
    health.bp: "For monitors",
}
PAGE_BLUEPRINTS = (docs.bp,)
