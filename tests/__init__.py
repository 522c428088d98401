"""The program's tests. Which of them proves what stands in CONTRIBUTING.md."""

import pytest

# Before anything imports them, and so in the package that comes first.
pytest.register_assert_rewrite("connectors.conformance", "connectors.conformance_world")
