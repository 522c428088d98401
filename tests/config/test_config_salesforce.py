"""The example for Salesforce names every option of the connector, and every line of it works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.salesforce.domains import prefix_of
from connectors.salesforce.options import (
    ClientCredentials,
    Jwt,
    Password,
    SalesforceChild,
    SalesforceSource,
    SalesforceStream,
    SessionId,
)
from sync.config.explain import keys_of
from sync.config.load import load_config, warnings_of
from sync.config.mappings import compile_all
from sync.engine.stream_specs import open_source
from sync.shared.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "connectors/salesforce/config.example.toml"
LINES = EXAMPLE.read_text(encoding="utf-8").splitlines()
OPTION = re.compile(r"(?:# )?(?P<key>[a-z_]+) = .+")
COMMENTED = [
    (number, option["key"])
    for number, line in enumerate(LINES)
    if line.startswith("# ") and (option := OPTION.fullmatch(line))
]
NO_DEFAULTS = {"auth", "proxy", "ca_file"}


def test_it_works_as_it_stands() -> None:
    config = load_config(EXAMPLE)
    assert warnings_of(config) == ()
    assert list(compile_all(config)) == ["sf.accounts", "sf.leads"]


def test_every_option_is_written_down() -> None:
    written = {found["key"] for line in LINES if (found := OPTION.fullmatch(line))}
    for model in (SalesforceSource, SalesforceStream, SalesforceChild):
        assert set(keys_of(model)) <= written
    auth = "\n".join(line for line in LINES if "auth =" in line)
    for flow in (ClientCredentials, Jwt, Password, SessionId):
        assert all(f"{key} = " in auth for key in keys_of(flow))


def test_each_commented_line_works_in_its_place_and_shows_a_default(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    example = load_config(EXAMPLE)
    shows_default: dict[str, bool] = {}
    for number, key in COMMENTED:
        lines = ["" if other.startswith(f"{key} = ") and key == "auth" else other for other in LINES]
        lines[number] = LINES[number].removeprefix("# ")
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            loaded = load_config(path)
        except ConfigError as error:
            raise AssertionError(f"line {number + 1}: {LINES[number]}") from error
        same = loaded.model_copy(update={"path": EXAMPLE, "digest": example.digest}) == example
        shows_default[f"{number + 1}: {key}"] = same
    assert shows_default == {f"{number + 1}: {key}": key not in NO_DEFAULTS for number, key in COMMENTED}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('domain = "acme.my"', 'domain = "acme.lightning.force.com"', 'domain: is the address of pages.*"acme.my"'),
        ('domain = "acme.my"', 'domain = "evil.example"', "domain: is no host of salesforce.com"),
        ('domain = "acme.my"', 'domain = "login"', "domain must be My Domain"),
        ('domain = "acme.my"', "", "needs a domain"),
        ('flow = "client_credentials"', 'flow = "magic"', 'auth: flow must be one of "client_credentials"'),
        ('flow = "client_credentials", ', "", "auth: needs flow"),
        (', client_secret = { env = "SF_CLIENT_SECRET" }', "", r"auth\.client_secret: is required"),
        ("client_id =", "client_ident =", r"auth\.client_ident: unknown key \(did you mean client_id"),
        ('client_id = { env = "SF_CLIENT_ID" }', "client_id = 5", r"auth\.client_id: must be text in quotes"),
        ('# every = "2m"', "api_version = 64.0", "api_version: must be text in quotes"),
        ('# every = "2m"', 'api_version = "v64.0"', "api_version: does not have the expected form"),
        ('# every = "2m"', "quota = 1.5", "quota"),
        ('object = "Account"', 'object = "Acc ount"', "object: does not have the expected form"),
        ('via = "AccountId"', "", "via"),
        ('via = "AccountId"', 'parent = "AccountId"', "unknown key"),
        ('object = "Lead"', 'object = "Lead"\nconverted = "maybe"', "converted"),
    ],
)
def test_what_cannot_work_is_refused_at_load_with_its_place(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "config.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = "\n".join(map(str, caught.value.problems))
    assert re.search(words, said), said
    assert all(problem.where.startswith("sources.sf") for problem in caught.value.problems)


@pytest.mark.parametrize(("flow", "words"), [("password", "new organisations"), ("session", "cannot be renewed")])
def test_what_ends_some_day_is_warned_of_at_start(flow: str, words: str, tmp_path: Path) -> None:
    lines = ["" if line.startswith("auth = ") else line for line in LINES]
    number = next(number for number, line in enumerate(LINES) if line.startswith(f'# auth = {{ flow = "{flow}"'))
    lines[number] = LINES[number].removeprefix("# ")
    path = tmp_path / "config.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    (warning,) = warnings_of(load_config(path))
    assert warning.where == "sources.sf.auth"
    assert words in warning.what


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("acme", "acme.my"),
        ("acme.my", "acme.my"),
        ("ACME.my.salesforce.com", "acme.my"),
        ("https://acme.my.salesforce.com/services/data?x=1", "acme.my"),
        ("acme--uat", "acme--uat.sandbox.my"),
        ("acme--uat.sandbox.my", "acme--uat.sandbox.my"),
        ("acme-dev-ed.develop.my.salesforce.com", "acme-dev-ed.develop.my"),
        ("login", "login"),
        ("https://test.salesforce.com/", "test"),
        ("eu45.salesforce.com", "eu45"),
        ("acme.my.salesforce.mil", "acme.my.salesforce.mil"),
        ("https://Login.salesforce.mil/", "login.salesforce.mil"),
        ("acme.my.sfcrmproducts.cn", "acme.my.sfcrmproducts.cn"),
        ("https://acme--uat.sandbox.my.sfcrmapps.cn/x", "acme--uat.sandbox.my.sfcrmapps.cn"),
    ],
)
def test_a_domain_is_taken_in_any_usual_spelling(written: str, prefix: str) -> None:
    assert prefix_of(written) == prefix


@pytest.mark.parametrize(
    ("pages", "api"),
    [
        ("acme.lightning.force.com", '"acme.my"'),
        ("acme--uat.lightning.force.com", '"acme--uat.sandbox.my"'),
        ("acme.lightning.crmforce.mil", '"acme.my.salesforce.mil"'),
        ("acme.lightning.sfcrmapps.cn", '"acme.my.sfcrmproducts.cn"'),
    ],
)
def test_the_address_of_pages_names_the_one_to_write(pages: str, api: str) -> None:
    with pytest.raises(ValueError, match=f"address of pages.*{api}"):
        prefix_of(pages)


NO_DOMAINS = [
    "",
    "a b",
    "evilsalesforce.mil",
    "acme.my.sfcrmproducts.cn.evil.example",
    "acme.my.salesforce.com.evil.example",
    "user:pw@acme.my",
    "-",
    "é.my",
]


@pytest.mark.parametrize("written", NO_DOMAINS)
def test_what_is_no_domain_of_salesforce_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        prefix_of(written)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "connectors.salesforce.session", raising=False)
    monkeypatch.setitem(sys.modules, "simple_salesforce", None)
    monkeypatch.setitem(sys.modules, "simple_salesforce.exceptions", None)
    with pytest.raises(ConfigError) as caught:
        open_source(load_config(EXAMPLE), "sf")
    (problem,) = caught.value.problems
    assert "'.[salesforce]'" in problem.hint


def test_a_file_with_salesforce_is_checked_without_loading_the_library() -> None:
    code = f"import sys; from sync.commands.check import look; from pathlib import Path; \
[*look(Path({str(EXAMPLE)!r}), file_only=True)]; sys.exit('simple_salesforce' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
