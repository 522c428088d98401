"""The modules that decide, each changed in many small ways: do their tests notice?"""
