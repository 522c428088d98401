"""Whatever is typed into a file: it loads, or it is a ConfigError in plain words that shows no secret."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.config.load import load_config, warnings_of
from sync.config.mappings import compile_all
from sync.config.schema import Config
from sync.engine.stream_specs import stream_specs
from sync.shared.errors import ConfigError
from tests.sizes import sized

SECRET = "HUNTER2-S3CR3T"
EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
LINES = [
    line
    for line in EXAMPLE.replace('"sandbox-key"', f'"{SECRET}"')
    .replace('"sqlite:///sample.db"', f'"postgresql://u:{SECRET}@db/x"')
    .splitlines()
    if "=" in line or "[" in line
]
KEYS = sorted(set(re.findall(r"^(?:# )?([a-z_]+) = ", EXAMPLE, re.MULTILINE)))
VALUES = [
    "0",
    "-1",
    "1e400",
    "nan",
    "true",
    "99999999999999999999999",
    '""',
    '"x"',
    "[]",
    "[[]]",
    "{}",
    "{ a = 1 }",
    '["", 1, {}]',
    "2026-01-01",
    "2026-01-01T00:00:00",
    "12:00:00",
    '"2026-13-01"',
    '"5m"',
    '"1e9d"',
    '"\\u0000"',
    '"[a"',
    '"@"',
    '"a.b[*].c | [0]"',
    '"lookup(a, b)"',
    '"&x"',
    '"😀"',
    '{ env = "X" }',
    '{ file = "" }',
    "{ env = 'X', file = 'Y' }",
    '"https://[::1"',
    '"{batch}{"',
    '"' + "x" * 300 + '"',
    "'''\n'''",
    "[" * 60 + "]" * 60,
    '"' + "(" * 2000 + '"',
    '"' + "[" * 600 + "]" * 600 + '"',
]
JARGON = re.compile(r"pydantic|Input should|validation error|Traceback|NoneType|<class", re.IGNORECASE)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[at].removeprefix("# ").partition(" = ")
        match draw(st.sampled_from(["drop", "double", "uncomment", "value", "rename", "swap", "insert", "noise"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "uncomment":
                lines[at] = lines[at].removeprefix("# ")
            case "value" if equals:
                lines[at] = f"{key} = {draw(st.sampled_from(VALUES))}"
            case "rename" if equals:
                lines[at] = lines[at].removeprefix("# ").replace(key, draw(st.sampled_from(KEYS)), 1)
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "insert":
                lines.insert(at, f"{draw(st.sampled_from(KEYS))} = {draw(st.sampled_from(VALUES))}")
            case "noise":
                place = draw(st.integers(0, len(lines[at])))
                # No quotation mark: it could turn the secret itself into a key, which is a name and may be shown.
                noise = draw(st.text("[]{}=.,#\\é\x01 1a\r", min_size=1, max_size=4))
                lines[at] = lines[at][:place] + noise + lines[at][place:]
    return "\n".join(lines)


@settings(max_examples=sized(120, 1_000, 10_000), deadline=None)
@given(mutated())
def test_a_changed_file_loads_or_says_why_not(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.toml")
        path.write_text(text, encoding="utf-8", newline="")
        found = outcome(path)
        if isinstance(found, ConfigError):
            assert found.problems
            assert not JARGON.search(str(found))
            assert SECRET not in str(found)
        else:
            stream_specs(found, compile_all(found))
            assert SECRET not in " ".join(map(str, warnings_of(found))) + repr(found)


def outcome(path: Path) -> Config | ConfigError:
    try:
        return load_config(path)
    except ConfigError as error:
        return error
