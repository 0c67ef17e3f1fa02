"""One blueprint a file; the application registers those listed here."""

from chatstore.routes import docs, facets, health, messages, sessions

# In the order of the API document.
API_BLUEPRINTS = (sessions.bp, messages.bp, facets.bp, health.bp)
PAGE_BLUEPRINTS = (docs.bp,)
