"""The demo: a whole run on one machine, with invented data, that checks itself."""
