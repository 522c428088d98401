"""Values, errors and the clock, shared by the engine, the connectors and the ledger. Imports none of them."""
