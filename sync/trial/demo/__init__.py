"""The demo: a complete run on one machine with invented data, which checks its own claims."""
