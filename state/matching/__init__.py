"""Dedup: finds records that stand for the same lead, by their values, by merges at their source, by imports."""
