"""The targets of chatstore, and the words for whether a figure reaches its target."""

# Requests per second / those of the ceiling, by figure and database.
OF_CEILING = {
    "get session": {"sqlite": 0.65, "postgresql": 0.65},
    "100 messages": {"sqlite": 0.45, "postgresql": 0.45},
    "50 sessions": {"sqlite": 0.45, "postgresql": 0.45},
    "append": {"sqlite": 0.30, "postgresql": 0.40},
}
P99_OF_P50 = 10.0
BATCH_OF_SINGLE = 15.0  # messages per second in batches of 100
KEYED_OF_PLAIN = 0.8  # rate of appends with a key / without
WITH_FEED_OF_WITHOUT = 0.97  # rate of appends with the change feed / without
WITH_API_KEY_OF_WITHOUT = 0.95  # rate of reading a session with an API key / without
OF_PEER = 3.0
# With 1,000,000 messages, on a quiet machine.
SEARCH_P95_MS, FASTER_THAN_SCAN = 50.0, 20.0
STATEMENTS = {"read": 3, "write": 5}
OTHERS_P99_MS = 1000.0
OTHERS_MAX_MS = 1000.0  # about a second, while another client sends the worst request
STREAM_GROWTH_MB, STREAM_FIRST_BYTE_MS = 50.0, 100.0
AMONG_OF_ALONE = 3.0
REACHED_SECONDS = 1.0  # an append, 500 waiting clients
AMONG_WAITING_OF_ALONE = 2.0
START_SECONDS = 2.0


def at_least(value: float, target: float) -> str:
    """Return the target, and whether the value reaches it."""
    return f"≥ {target:g}: {_verdict(value >= target)}"


def at_most(value: float, target: float) -> str:
    """Return the target, and whether the value stays within it."""
    return f"≤ {target:g}: {_verdict(value <= target)}"


def _verdict(is_reached: bool) -> str:
    return "reached" if is_reached else "**not reached**"
