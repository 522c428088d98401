"""`python -m tests.lock`: resolves what the installation takes, with hashes, into sync/installation/requirements.txt.

Needs `uv` on the PATH. The versions are those of the environment that it is run in, so that what is installed is what
was tested: for a fix of a dependency upgrade that, test, say it, look at the difference, release.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib

from sync.installation.releases import PATH, pins_of
from tests.proof.harness import ROOT

HEAD = """# What an installation takes: each package with the hashes of its files. Written by `python -m tests.lock`.
# A package below `# for …` is taken with that extra alone.
"""


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name not in ("all", "test")]
    everything = pins_of(_compile(*extras))
    wanted = {extra: pins_of(_compile(extra)).keys() for extra in extras}
    base = pins_of(_compile()).keys()
    lines = [HEAD]
    for name, pin in everything.items():
        of = [extra for extra in extras if name in wanted[extra]]
        if name not in base:
            lines.append(f"# for {', '.join(of)}\n")
        lines.append(pin)
    PATH.write_text("".join(lines), encoding="utf-8")
    print(f"{PATH.relative_to(ROOT)}: {len(everything)} packages, {len(base)} of them for all")
    return 0


def _compile(*extras: str) -> str:
    frozen = subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    tested = "".join(line for line in frozen.splitlines(keepends=True) if "==" in line)
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--only-binary=:all:"]
    options = [
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--no-emit-package=pip",
        *(f"--extra={extra}" for extra in extras),
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(tested)
        constraints.flush()
        words = [*command, *options, f"--constraint={constraints.name}", "pyproject.toml"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
