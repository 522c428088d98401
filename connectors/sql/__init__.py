"""The generic SQL connector: any database that SQLAlchemy speaks to."""
