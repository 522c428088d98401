"""The service in a real systemd, installed as an administrator would: `python -m tests.long.systemd`."""
