"""The daemon killed again and again in a scratch folder, and the truth looked at afterwards: `selftest crash`."""
