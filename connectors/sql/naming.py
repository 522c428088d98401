"""Names of tables and columns as words, however they are spelled."""

from __future__ import annotations

import re
import unicodedata


def words_of(name: str) -> str:
    """`lastModifiedAt`, `LAST_MODIFIED_AT` and `last modified at` alike: small words without accents."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = "".join(one for one in unicodedata.normalize("NFKD", split) if not unicodedata.combining(one))
    return " ".join(re.findall(r"[a-z]+|\d+", plain.casefold().replace("ß", "ss")))
