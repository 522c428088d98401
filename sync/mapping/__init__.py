"""Mapping: the rules that turn a source's record into a lead as the ClosingDealz API wants it."""
