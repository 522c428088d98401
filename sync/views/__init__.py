"""Reports: what the commands gather and say, as values, as JSON and as text."""
