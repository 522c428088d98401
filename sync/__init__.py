"""The engine: configuration, polling, mapping, delivery, governor, daemon, commands."""

__version__ = "0.1.0"
