"""The shapes of requests and responses, in marshmallow; no models, no queries."""
