"""Installs the service on a machine with systemd, upgrades and removes it: `python3 -m sync.installation --help`.

It is run by the system's Python before anything is installed, from a checkout or from within a wheel, so it imports
nothing but the standard library.
"""
