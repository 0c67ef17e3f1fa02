"""One blueprint a file; the application registers those listed here."""

from chatstore.routes import docs, facets, health, messages, search, sessions

# With their descriptions in the API document, and in its order.
API_BLUEPRINTS = {
    sessions.bp: "Conversations",
    messages.bp: "The turns of a conversation",
    search.bp: "Find anything",
    facets.bp: "What to filter by",
    health.bp: "For monitors",
}
PAGE_BLUEPRINTS = (docs.bp,)
