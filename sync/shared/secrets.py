"""Secrets by reference: read when they are needed, never shown. Imports only the errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationInfo, model_validator

from sync.shared.errors import ConfigError, Problem


class Secret:
    """A secret's text. Printing, logging and formatting show `***`; only `reveal()` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


class SecretRef(BaseModel):
    """A reference to a secret: exactly one of `env`, `file`, `credential`, or the plain text itself (with a warning).

    Validated with the context `{"folder": …}`, as the loader does, a relative `file` is taken from that folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = None
    file: str | None = None
    credential: str | None = None
    _plain: Secret | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _plain_text_is_a_secret_too(cls, value: Any, handler: Any, info: ValidationInfo) -> SecretRef:
        if isinstance(value, str):
            if not value:
                raise ValueError("is empty")
            plain = cls.model_construct()
            plain._plain = Secret(value)
            return plain
        # Refused here: the validator's own message would not name the forms that are allowed.
        if not isinstance(value, dict | SecretRef):
            raise ValueError('must be a table such as { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }')
        ref: SecretRef = handler(value)
        if ref._plain is None and sum(part is not None for part in (ref.env, ref.file, ref.credential)) != 1:
            raise ValueError('needs exactly one of env, file, credential, such as { env = "NAME" }')
        # Resolved at load: the working directory may differ when the secret is read.
        if ref.file is not None and info.context:
            return ref.model_copy(update={"file": str(Path(info.context["folder"], ref.file))})
        return ref

    @property
    def is_plain(self) -> bool:
        """Return whether the secret is in the configuration file itself."""
        return self._plain is not None

    @property
    def where(self) -> str:
        """Return where the secret lies, in words that do not show it: `environment variable NAME`."""
        if self.env is not None:
            return f"environment variable {self.env}"
        if self.file is not None:
            return f"file {self.file}"
        if self.credential is not None:
            return f"credential {self.credential}"
        return "the configuration file"

    def read(self, *, key: str = "secret", base: Path | None = None) -> Secret:
        """Return the secret as it is now: it is read again at each call. Surrounding white space is dropped.

        Raises ConfigError, naming `key` (the configuration key that wants it), where it cannot be had.
        A relative `file` is taken from `base`.
        """
        if self._plain is not None:
            return self._plain
        text = self._lookup(key, base).strip()
        if not text:
            raise ConfigError([Problem(key, f"the {self.where} is empty")])
        return Secret(text)

    def _lookup(self, key: str, base: Path | None) -> str:
        if self.env is not None:
            found = os.environ.get(self.env)
            if found is None:
                raise ConfigError([Problem(key, f"the {self.where} is not set", f"export {self.env}=…")])
            return found
        if self.credential is not None:
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                what = f"the {self.where} needs $CREDENTIALS_DIRECTORY, which is not set"
                hint = "start it by systemd with LoadCredential=, or name a file or environment variable"
                raise ConfigError([Problem(key, what, hint)])
            path = Path(folder, self.credential)
            if not path.exists():  # LoadCredential= of a whole folder puts our name before its files'
                path = Path(folder, f"closingdealz-sync_{self.credential}")
        else:
            path = (base or Path()) / str(self.file)
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError([Problem(key, f"the {self.where} cannot be read: {reason}")]) from error


def secrets_in(options: BaseModel, place: str) -> Iterator[tuple[str, SecretRef]]:
    """Yield each secret that these options refer to, nested tables included, with its key: `place.auth.password`."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, SecretRef):
            yield f"{place}.{name}", value
        elif isinstance(value, BaseModel):
            yield from secrets_in(value, f"{place}.{name}")
