"""The daemon as a service: its life, its schedule, its health, and its words to systemd, to monitors and to the
ledger."""
