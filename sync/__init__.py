"""The engine: configuration, polling, mapping, delivery, governor, daemon, commands."""

__program__ = "closingdealz-sync"
__version__ = "0.1.0"
