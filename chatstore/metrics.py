"""The registry of all metrics, and the counters of work that no request does."""

from prometheus_client import CollectorRegistry, Counter

registry = CollectorRegistry()
purged_sessions = Counter(
    "chatstore_sessions_purged",
    "Sessions deleted for good without a request",
    ["reason"],
    registry=registry,
)
