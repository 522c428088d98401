"""The code in figures: how names, docstrings, files and imports of the program are."""
