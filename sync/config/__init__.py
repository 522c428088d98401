"""The configuration: its schema, reading and checking the file, starter files."""
