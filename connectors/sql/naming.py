"""Names of tables and columns as plain words, however they are spelled."""

from __future__ import annotations

import re
import unicodedata


def words_of(name: str) -> str:
    """Return a name in lower-case words without accents: `lastModifiedAt`, `LAST_MODIFIED_AT` and `last modified at`
    are the same."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = "".join(one for one in unicodedata.normalize("NFKD", split) if not unicodedata.combining(one))
    return " ".join(re.findall(r"[a-z]+|\d+", plain.casefold().replace("ß", "ss")))
