"""`python -m sync` is `closingdealz-sync`."""

from sync.cli import main

main()
