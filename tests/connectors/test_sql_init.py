"""`init --from` writes a stream that `check` accepts, on the schemas of products that people have."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sync.cli import main
from sync.config.load import load_config, warnings_of
from sync.config.mappings import compile_all
from sync.engine.stream_specs import open_source, stream_specs
from tests.connectors.sql_servers import Duckdb, Firebird, Mariadb, Postgresql, Server, Sqlite


@dataclass(frozen=True)
class Product:
    """A schema of the true shape, the table that is asked for, and what must be found."""

    backend: str
    tables: str
    table: str
    stream: dict[str, Any]
    lead: dict[str, Any]
    children: dict[str, dict[str, Any]]
    contacts: list[dict[str, Any]]
    comments: tuple[str, ...] = ()


_PARTS = ("street", "postalcode", "city", "country")
PRODUCTS = {
    "odoo": Product(
        "postgresql",
        """CREATE TABLE res_partner (id serial PRIMARY KEY, name varchar, parent_id int REFERENCES res_partner,
           is_company boolean, active boolean, type varchar, function varchar, street varchar, zip varchar,
           city varchar, email varchar, phone varchar, mobile varchar, website varchar, comment text,
           create_date timestamp, write_date timestamp);
           INSERT INTO res_partner VALUES (1, 'Acme', NULL, true, true, 'contact', NULL, 'Main St 1', '10115', 'Berlin',
           'a@acme.example', '1', '2', 'acme.example', NULL, '2026-01-01', '2026-03-01 10:00')""",
        "res_partner",
        {"table": "res_partner", "key": "id", "modified": "write_date"},
        {
            "name": "name",
            "emails": "[email]",
            "phones": "[phone, mobile]",
            "socials": "[website]",
            "addresses": ["join(', ', [street, zip, city])"],
        },
        {"contacts": {"table": "res_partner", "parent": "parent_id", "key": "id", "modified": "write_date"}},
        [
            {
                "from": "contacts",
                "name": "name",
                "role": "function",
                "emails": "[email]",
                "phones": "[phone, mobile]",
                "socials": "[website]",
                "addresses": ["join(', ', [street, zip, city])"],
            }
        ],
        ('# where = "is_company && active"', '# notes = "comment"', "# zone = "),
    ),
    "suitecrm": Product(
        "mariadb",
        """CREATE TABLE accounts (id char(36) PRIMARY KEY, name varchar(150), date_entered datetime,
           date_modified datetime, deleted tinyint(1), industry varchar(50), employees varchar(10),
           phone_office varchar(100), phone_fax varchar(100), website varchar(255), billing_address_street varchar(150),
           billing_address_city varchar(100), billing_address_postalcode varchar(20),
           billing_address_country varchar(99));
           CREATE TABLE contacts (id char(36) PRIMARY KEY, account_id char(36), first_name varchar(100),
           last_name varchar(100), title varchar(100), phone_work varchar(100), phone_mobile varchar(100),
           deleted tinyint(1), date_modified datetime);
           INSERT INTO accounts (id, name, date_modified, deleted) VALUES ('a1', 'Acme', '2026-03-01 10:00', 0)""",
        "accounts",
        {"table": "accounts", "key": "id", "modified": "date_modified"},
        {
            "name": "name",
            "industry": "industry",
            "employee_count": "employees",
            "phones": "[phone_office]",
            "socials": "[website]",
            "addresses": [f"join(', ', [{', '.join(f'billing_address_{x}' for x in _PARTS)}])"],
        },
        {"contacts": {"table": "contacts", "parent": "account_id", "key": "id", "modified": "date_modified"}},
        [
            {
                "from": "contacts",
                "name": "first_name",
                "last_name": "last_name",
                "role": "title",
                "phones": "[phone_work, phone_mobile]",
            }
        ],
        ('# where = "!deleted"', "# No foreign key says so"),
    ),
    "dolibarr": Product(
        "mariadb",
        """CREATE TABLE llx_societe (rowid int PRIMARY KEY, nom varchar(128), status tinyint, client tinyint,
           address varchar(255), zip varchar(25), town varchar(50), phone varchar(20), fax varchar(20),
           url varchar(255), email varchar(128), socialnetworks text, datec datetime, tms timestamp);
           CREATE TABLE llx_socpeople (rowid int PRIMARY KEY, fk_soc int, lastname varchar(50), firstname varchar(50),
           poste varchar(80), phone varchar(30), phone_mobile varchar(30), email varchar(255), priv smallint,
           statut tinyint, tms timestamp);
           INSERT INTO llx_societe (rowid, nom, tms) VALUES (1, 'Acme', '2026-03-01 10:00')""",
        "llx_societe",
        {"table": "llx_societe", "key": "rowid", "modified": "tms"},
        {
            "name": "nom",
            "emails": "[email]",
            "phones": "[phone]",
            "socials": "[url]",
            "addresses": ["join(', ', [address, zip, town])"],
        },
        {"llx_socpeople": {"table": "llx_socpeople", "parent": "fk_soc", "key": "rowid", "modified": "tms"}},
        [
            {
                "from": "llx_socpeople",
                "name": "firstname",
                "last_name": "lastname",
                "role": "poste",
                "emails": "[email]",
                "phones": "[phone, phone_mobile]",
            }
        ],
    ),
    "erpnext": Product(
        "mariadb",
        """CREATE TABLE `tabCustomer` (name varchar(140) PRIMARY KEY, creation datetime(6), modified datetime(6),
           modified_by varchar(140), owner varchar(140), customer_name varchar(140), industry varchar(140),
           website varchar(140), disabled int(1));
           CREATE TABLE `tabDynamic Link` (name varchar(140) PRIMARY KEY, parent varchar(140), link_name varchar(140));
           INSERT INTO `tabCustomer` (name, customer_name, modified) VALUES ('Müller AG', 'Müller AG', '2026-03-01')""",
        "tabCustomer",
        {"table": "tabCustomer", "key": "name", "modified": "modified"},
        {"name": "customer_name", "industry": "industry", "socials": "[website]"},
        {},
        [],
        ('# where = "!disabled"',),
    ),
    "woocommerce": Product(
        "mariadb",
        """CREATE TABLE wp_users (ID bigint unsigned PRIMARY KEY AUTO_INCREMENT, user_login varchar(60),
           user_pass varchar(255), user_email varchar(100), user_url varchar(100), user_registered datetime,
           user_activation_key varchar(255), user_status int, display_name varchar(250));
           CREATE TABLE wp_usermeta (umeta_id bigint PRIMARY KEY, user_id bigint, meta_key varchar(255),
           meta_value text);
           INSERT INTO wp_users (ID, user_email, display_name) VALUES (1, 'a@b.example', 'Ada')""",
        "wp_users",
        {"table": "wp_users", "key": "ID"},
        {"kind": "contact", "name": "display_name", "emails": "[user_email]", "socials": "[user_url]"},
        {},
        [],
        ('# modified = "…"',),
    ),
    "vtiger": Product(
        "mariadb",
        """CREATE TABLE vtiger_account (accountid int PRIMARY KEY, accountname varchar(100), phone varchar(30),
           website varchar(100), fax varchar(30), employees int, email1 varchar(100), email2 varchar(100),
           industry varchar(200), emailoptout varchar(3));
           CREATE TABLE vtiger_contactdetails (contactid int PRIMARY KEY, accountid int, firstname varchar(40),
           lastname varchar(80), email varchar(100), title varchar(50));
           INSERT INTO vtiger_account (accountid, accountname) VALUES (1, 'Acme')""",
        "vtiger_account",
        {"table": "vtiger_account", "key": "accountid"},
        {
            "name": "accountname",
            "industry": "industry",
            "employee_count": "employees",
            "emails": "[email1, email2]",
            "phones": "[phone]",
            "socials": "[website]",
        },
        {"vtiger_contactdetails": {"table": "vtiger_contactdetails", "parent": "accountid", "key": "contactid"}},
        [
            {
                "from": "vtiger_contactdetails",
                "name": "firstname",
                "last_name": "lastname",
                "role": "title",
                "emails": "[email]",
            }
        ],
    ),
    "northwind": Product(
        "postgresql",
        """CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company_name varchar(40),
           contact_name varchar(30), contact_title varchar(30), address varchar(60), city varchar(15),
           region varchar(15), postal_code varchar(10), country varchar(15), phone varchar(24), fax varchar(24));
           CREATE TABLE orders (order_id int PRIMARY KEY, customer_id varchar(5) REFERENCES customers, ship_name text);
           INSERT INTO customers VALUES ('ACME', 'Acme', 'Ada Lovelace', 'Owner')""",
        "customers",
        {"table": "customers", "key": "customer_id"},
        {
            "name": "company_name",
            "phones": "[phone]",
            "addresses": ["join(', ', [address, postal_code, city, country])"],
        },
        {},
        [{"from": "[@]", "name": "contact_name", "role": "contact_title"}],
        ("# Other tables that refer to it, which may be children, too: orders (customer_id)",),
    ),
    "aspnet": Product(
        "postgresql",
        """CREATE SCHEMA "crmData"; CREATE TABLE "crmData"."Customers" ("Id" uuid PRIMARY KEY, "CompanyName" text,
           "EmailAddress" text, "Profile" jsonb, "Tags" text[], "IsDeleted" boolean, "CreatedAt" timestamptz,
           "UpdatedAt" timestamptz);
           CREATE TABLE "crmData"."Contacts" ("Id" uuid PRIMARY KEY, "CustomerId" uuid REFERENCES "crmData"."Customers",
           "First Name" text, "Last Name" text, "Email" text, "UpdatedAt" timestamptz);
           INSERT INTO "crmData"."Customers" VALUES (gen_random_uuid(), 'Acme', 'a@b.example', '{}', '{}', false, now(),
           '2026-03-01 10:00Z')""",
        "Customers",
        {"table": "crmData.Customers", "key": "Id", "modified": "UpdatedAt"},
        {"name": "CompanyName", "emails": "[EmailAddress]"},
        {
            "contacts": {
                "table": "crmData.Contacts",
                "parent": "CustomerId",
                "key": "Id",
                "modified": "UpdatedAt",
            }
        },
        [{"from": "contacts", "name": '"First Name"', "last_name": '"Last Name"', "emails": "[Email]"}],
        ('# where = "!IsDeleted"',),
    ),
    "erp": Product(
        "postgresql",
        """CREATE SCHEMA erp; CREATE TABLE erp.kunden (mandant int, kundennr int, name1 text, telefon text,
           geaendert_am date, geaendert_um time, PRIMARY KEY (mandant, kundennr));
           CREATE TABLE erp.ansprechpartner (mandant int, kundennr int, lfdnr int, name text, vorname text, email text,
           PRIMARY KEY (mandant, kundennr, lfdnr), FOREIGN KEY (mandant, kundennr) REFERENCES erp.kunden);
           INSERT INTO erp.kunden VALUES (1, 7, 'Acme', '1', '2026-03-01', '10:00')""",
        "erp.kunden",
        {"table": "erp.kunden", "key": ["mandant", "kundennr"], "modified": "geaendert_am"},
        {"name": "name1", "phones": "[telefon]"},
        {
            "ansprechpartner": {
                "table": "erp.ansprechpartner",
                "parent": ["mandant", "kundennr"],
                "key": ["mandant", "kundennr", "lfdnr"],
            }
        },
        [{"from": "ansprechpartner", "name": "vorname", "last_name": "name", "emails": "[email]"}],
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def execute(server: Server, statements: str) -> None:
    for statement in statements.split(";"):
        server.run(statement)


def accepted(path: Path) -> None:
    """`check` finds no error in what the file says of its database, and no warning in the file."""
    config = load_config(path)
    assert not [one for one in warnings_of(config) if "url" in one.where]
    for spec in stream_specs(config, compile_all(config)).values():
        connector = open_source(config, spec.source)
        try:
            assert not [one for one in connector.check(spec) if one.level == "error"]
        finally:
            connector.close()


@pytest.mark.parametrize("name", PRODUCTS)
def test_check_accepts_what_is_written_as_it_is(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = PRODUCTS[name]
    server = request.getfixturevalue(f"{product.backend}_server")
    execute(server, product.tables)
    monkeypatch.setenv("DATABASE_URL", server.url)
    result = run("init", "--from", "DATABASE_URL", product.table)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "config.toml").read_text()
    written = tomllib.loads(text)
    assert written["sources"]["crm"]["url"] == {"env": "DATABASE_URL"}
    (stream,) = written["sources"]["crm"]["streams"].values()
    lead, children = stream.pop("lead"), stream.pop("children", {})
    contacts = lead.pop("contacts", [])
    assert stream == {**product.stream, "start": "now", "on_change": "hold"}
    assert lead == {"kind": "company", **product.lead, "labels": ["'crm'"]}
    assert children == product.children
    assert contacts == product.contacts
    assert all(comment in text for comment in product.comments)
    accepted(tmp_path / "config.toml")


def test_every_kind_of_database_is_drafted(
    sqlite_server: Sqlite, duckdb_server: Duckdb, firebird_server: Firebird, tmp_path: Path
) -> None:
    for server in (sqlite_server, duckdb_server, firebird_server):
        server.run(
            "CREATE TABLE companies (id int PRIMARY KEY, name varchar(40), email varchar(40), changed timestamp)"
        )
        server.run(
            "CREATE TABLE people (id int PRIMARY KEY, company_id int, surname varchar(40), vorname varchar(40),"
            " FOREIGN KEY (company_id) REFERENCES companies (id))"
        )
        server.run("INSERT INTO companies VALUES (1, 'Acme', 'a@b.example', '2026-03-01 10:00:00')")
        path = tmp_path / f"{server.backend}.toml"
        assert run("init", "--from", server.url, "companies", str(path)).exit_code == 0
        if server.backend == "firebird":  # its URL has options, which might be secrets
            path.write_text(path.read_text().replace('{ env = "DATABASE_URL" }', f'"{server.url}"'))
        accepted(path)
        (stream,) = tomllib.loads(path.read_text())["sources"]["crm"]["streams"].values()
        assert (stream["key"], stream["modified"]) == ("id", "changed")
        assert stream["children"] == {"people": {"table": "people", "parent": "company_id", "key": "id"}}


def test_a_key_that_holds_the_time_of_change_is_left_without_it(postgresql_server: Postgresql, tmp_path: Path) -> None:
    """A partitioned table's primary key holds the column by which it is divided; then each change is another key."""
    execute(
        postgresql_server,
        "CREATE TABLE companies (id int, name text, updated_at timestamptz, PRIMARY KEY (id, updated_at))"
        " PARTITION BY RANGE (updated_at)",
    )
    assert run("init", "--from", postgresql_server.url, "companies").exit_code == 0
    path = tmp_path / "config.toml"
    (stream,) = tomllib.loads(path.read_text())["sources"]["crm"]["streams"].values()
    assert (stream["key"], stream["modified"]) == ("id", "updated_at")
    assert "not declared unique" in path.read_text()


def test_a_bit_is_a_flag_where_its_values_are_true_and_false(
    postgresql_server: Postgresql, mariadb_server: Mariadb, tmp_path: Path
) -> None:
    """Elsewhere any of them counts as true, and `!is_deleted` would leave out every row."""
    for server, guessed in ((postgresql_server, False), (mariadb_server, True)):
        server.run("CREATE TABLE customers (id int PRIMARY KEY, name varchar(9), is_deleted bit(1))")
        result = run("init", "--from", server.url, "customers")
        assert result.exit_code == 0, result.output
        written = tmp_path / "config.toml"
        assert ('# where = "!is_deleted"' in written.read_text()) is guessed
        written.unlink()


def test_without_a_table_those_that_look_right_are_listed(sqlite_server: Sqlite, tmp_path: Path) -> None:
    sqlite_server.run("CREATE TABLE kunden (id int PRIMARY KEY, firma text, email text, telefon text)")
    sqlite_server.run("CREATE TABLE log (id int PRIMARY KEY, message text, at datetime)")
    listed = run("init", "--from", sqlite_server.url)
    assert listed.exit_code == 0
    assert "kunden" in listed.output
    assert "  log" not in listed.output
    assert not (tmp_path / "config.toml").exists()


def test_a_password_is_never_written_or_shown(postgresql_server: Postgresql, tmp_path: Path) -> None:
    execute(postgresql_server, "CREATE TABLE companies (id int PRIMARY KEY, name text)")
    url = postgresql_server.url.replace("postgres@", "postgres:s3cret-word@")
    result = run("init", "--from", url, "companies")
    assert result.exit_code == 0
    assert "s3cret-word" not in (tmp_path / "config.toml").read_text() + result.output
    assert "export DATABASE_URL=…" in result.output
    for arguments in ((url,), (url, "compnies", "b.toml"), ("postgresql://u:s3cret-word@127.0.0.1:1/x", "a", "b.toml")):
        result = run("init", "--from", *arguments)
        assert "s3cret-word" not in result.output


def test_what_cannot_be_used_is_said(sqlite_server: Sqlite, mariadb_server: Mariadb, tmp_path: Path) -> None:
    sqlite_server.run("CREATE TABLE companies (id int PRIMARY KEY, name text)")
    for arguments, code, words in (
        (("NO_SUCH_VARIABLE", "companies"), 64, "NO_SUCH_VARIABLE is not set"),
        (("not a url", "companies"), 64, "is not a database URL"),
        ((sqlite_server.url, "compnies"), 77, "'companies'"),
        ((sqlite_server.url, "companies", "a.toml", "b.toml"), 64, "is one argument too many"),
        (("mysql://u@127.0.0.1:1/x", "companies"), 75, "cannot be reached"),
    ):
        result = run("init", "--from", *arguments)
        assert result.exit_code == code
        assert words in result.output
    (tmp_path / "config.toml").write_text("mine")
    assert "exists already" in run("init", "--from", sqlite_server.url, "companies").output
    assert run("init", "--connector", "hubspot", "--from", sqlite_server.url, "companies").exit_code == 64


def test_a_table_of_nothing_known_still_makes_a_file(sqlite_server: Sqlite, tmp_path: Path) -> None:
    sqlite_server.run('CREATE TABLE "odd ""names"" é" ("a b" text, "c\td" int, "e-mail 2" text)')
    sqlite_server.run('INSERT INTO "odd ""names"" é" VALUES (\'x\', 1, \'y\')')
    assert run("init", "--from", sqlite_server.url, 'odd "names" é').exit_code == 0
    assert load_config(tmp_path / "config.toml")
    sqlite_server.run('CREATE TABLE "`t"".x" (id int PRIMARY KEY, name text)')
    for number, name in enumerate(('"`t"".x"', '`t".x')):
        assert run("init", "--from", sqlite_server.url, name, f"{number}.toml").exit_code == 0
        accepted(tmp_path / f"{number}.toml")
