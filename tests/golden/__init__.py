"""What the program prints, kept as files: a change of behaviour shows as a difference of text.

`python -m tests.golden` writes them anew; look at the difference before it is committed.
"""
