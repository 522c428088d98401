"""Power cuts: what the program writes is recorded, disks are made of it as a cut may leave them, and it is started on
each: `python -m tests.long.powercut`."""
