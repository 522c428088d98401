"""`selftest crash`: kills the daemon over and over in a scratch folder, then checks for lost and duplicate leads."""
