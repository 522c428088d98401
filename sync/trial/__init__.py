"""The program tried out: a sandbox of the API, the demo, the self-test."""
