"""Longer runs with printed figures: `python -m tests.long.NAME`. pytest does not collect them."""
