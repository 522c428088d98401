"""A stand-in for the ClosingDealz API on loopback, so that anybody can try the program without an account."""
