from bench.access import measure
from bench.databases import SQLITE, databases


def test_reads_with_a_key_and_without_are_measured_in_turn():
    with databases() as made:
        found = measure(made, SQLITE, pairs=2, seconds=0.05)
    assert found["errors"] == 0
    assert found["ratio"].first > 0
