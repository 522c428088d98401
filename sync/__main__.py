"""`python -m sync` is `closingdealz-sync`."""

from sync.entry import main

main()
