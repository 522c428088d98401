"""A stand-in for the ClosingDealz API on loopback, to try the program without an account."""
