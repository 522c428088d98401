"""Delivery: pending leads are claimed, posted, and their verdict is written."""
