"""The daemon as a service: what it tells its service manager, the journal, a monitor and Prometheus."""
