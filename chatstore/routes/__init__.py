"""Lists the blueprints that the application registers; each file has one."""

from chatstore.routes import docs, facets, health, messages, search, sessions

# In the order of the API document, which gives each blueprint this description.
API_BLUEPRINTS = {
    sessions.bp: "Conversations",
    messages.bp: "The turns of a conversation",
    search.bp: "Find anything",
    facets.bp: "What to filter by",
    health.bp: "For monitors",
}
PAGE_BLUEPRINTS = (docs.bp,)
