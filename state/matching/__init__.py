"""Which records stand for the same lead: by their values, by merges at their source, by what was imported."""
