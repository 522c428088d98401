"""How long tests wait for what comes from another thread or process."""

PATIENCE = 120.0
"""Seconds after which it hangs, however busy the machine is. A whole test may take 300."""
