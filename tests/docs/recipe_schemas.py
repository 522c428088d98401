"""The databases of the products in docs/recipes.md: their true shape, invented rows, and the leads meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Product:
    """`leads` are short forms: name, then whatever else the lead must hold, as `short` in the test makes it."""

    source: str
    database: str
    sql: str
    leads: tuple[dict[str, Any], ...]


ODOO = Product(
    "odoo",
    "postgresql",
    """
create table res_partner_industry (id serial primary key, name jsonb, active boolean);
create table res_partner (id serial primary key, name varchar, parent_id int, is_company boolean, active boolean,
  type varchar, function varchar, street varchar, zip varchar, city varchar, email varchar, phone varchar,
  mobile varchar, website varchar, comment text, industry_id int, write_date timestamp);
insert into res_partner_industry values (1, '{"en_US": "Mining", "de_DE": "Bergbau"}', true);
insert into res_partner values
  (1, 'Oak Mill', null, true, true, 'contact', null, '1 Mill Rd', '12345', 'Oakham', 'info@oak.example', '+44 1', null,
   'https://oak.example', null, 1, '2026-01-01 10:00:00.123456'),
  (2, 'Ann van Dyk', 1, false, true, 'contact', 'Buyer', null, null, null, 'ann@oak.example', null, '+44 2',
   null, null, null, '2026-01-01 10:00:01'),
  (3, 'Invoices', 1, false, true, 'invoice', null, null, null, null, null, null, null, null, null, null, '2026-01-01'),
  (4, 'Gone', null, true, false, 'contact', null, null, null, null, null, null, null, null, null, null, '2026-01-01'),
  (5, 'Alone', null, false, true, 'contact', null, null, null, null, null, null, null, null, null, null, '2026-01-01')
""",
    (
        {
            "name": "Oak Mill",
            "industry": "Mining",
            "email": ["info@oak.example"],
            "phoneNumber": ["+44 1"],
            "socials": ["https://oak.example"],
            "address": ["1 Mill Rd, 12345, Oakham"],
            "contacts": [
                {
                    "name": "Ann",
                    "lastName": "van Dyk",
                    "role": "Buyer",
                    "email": ["ann@oak.example"],
                    "phoneNumber": ["+44 2"],
                }
            ],
        },
    ),
)

SUITECRM = Product(
    "suitecrm",
    "mariadb",
    """
create table accounts (id char(36) primary key, name varchar(150), industry varchar(50), employees varchar(10),
  phone_office varchar(100), website varchar(255), date_modified datetime, deleted tinyint(1) default 0);
create table contacts (id char(36) primary key, first_name varchar(100), last_name varchar(100), title varchar(100),
  phone_work varchar(100), phone_mobile varchar(100), date_modified datetime, deleted tinyint(1) default 0);
create table accounts_contacts (id varchar(36) primary key, contact_id varchar(36), account_id varchar(36),
  date_modified datetime, deleted tinyint(1) default 0);
create table email_addresses (id char(36) primary key, email_address varchar(255), date_modified datetime,
  deleted tinyint(1) default 0);
create table email_addr_bean_rel (id char(36) primary key, email_address_id char(36), bean_id char(36),
  bean_module varchar(100), primary_address tinyint(1) default 0, date_modified datetime, deleted tinyint(1) default 0);
insert into accounts values
  ('a-1', 'Pine Freight', 'Shipping', '10-50', '+1 555 1', 'https://pine.example', '2026-01-01 10:00:00', 0),
  ('a-2', 'Removed Inc', null, null, null, null, '2026-01-01 10:00:00', 1);
insert into contacts values ('c-1', 'Bo', 'Reed', 'CEO', '+1 555 2', null, '2026-01-01 10:00:00', 0),
  ('c-2', 'No', 'Longer', null, null, null, '2026-01-01 10:00:00', 1);
insert into accounts_contacts values ('l-1', 'c-1', 'a-1', '2026-01-01 10:00:00', 0),
  ('l-2', 'c-2', 'a-1', '2026-01-01 10:00:00', 0), ('l-3', 'c-1', 'a-2', '2026-01-01 10:00:00', 1);
insert into email_addresses values ('e-1', 'hello@pine.example', '2026-01-01', 0),
  ('e-2', 'bo@pine.example', '2026-01-01', 0), ('e-3', 'old@pine.example', '2026-01-01', 0);
insert into email_addr_bean_rel values ('r-1', 'e-1', 'a-1', 'Accounts', 1, '2026-01-01', 0),
  ('r-2', 'e-2', 'c-1', 'Contacts', 1, '2026-01-01', 0), ('r-3', 'e-3', 'a-1', 'Accounts', 0, '2026-01-01', 1)
""",
    (
        {
            "name": "Pine Freight",
            "industry": "Shipping",
            "email": ["hello@pine.example"],
            "phoneNumber": ["+1 555 1"],
            "socials": ["https://pine.example"],
            "contacts": [
                {
                    "name": "Bo",
                    "lastName": "Reed",
                    "role": "CEO",
                    "email": ["bo@pine.example"],
                    "phoneNumber": ["+1 555 2"],
                }
            ],
        },
    ),
)

DOLIBARR = Product(
    "dolibarr",
    "mariadb",
    """
create table llx_societe (rowid int auto_increment primary key, nom varchar(128), status tinyint default 1,
  client tinyint default 0, address varchar(255), zip varchar(25), town varchar(50), phone varchar(20),
  url varchar(255), email varchar(128), socialnetworks text, tms timestamp default current_timestamp);
create table llx_socpeople (rowid int auto_increment primary key, fk_soc int, lastname varchar(50),
  firstname varchar(50), poste varchar(255), phone varchar(30), phone_mobile varchar(30), email varchar(255),
  priv smallint default 0, statut tinyint default 1, tms timestamp default current_timestamp);
insert into llx_societe values
  (1, 'Elm SARL', 1, 1, '2 rue Verte', '75001', 'Paris', '+33 1', 'https://elm.example', 'a@elm.example',
   '{"linkedin": "elm"}', '2026-01-01 10:00:00'),
  (2, 'Supplier SA', 1, 0, null, null, null, null, null, null, null, '2026-01-01 10:00:00'),
  (3, 'Closed SA', 0, 1, null, null, null, null, null, null, null, '2026-01-01 10:00:00'),
  (4, 'Prospect SA', 1, 2, null, null, null, null, null, null, null, '2026-01-01 10:00:00');
insert into llx_socpeople values
  (1, 1, 'Roux', 'Zo\u00e9', 'Achats', '+33 2', null, 'zoe@elm.example', 0, 1, '2026-01-01 10:00:00'),
  (2, 1, 'Priv\u00e9', 'Paul', null, null, null, null, 1, 1, '2026-01-01 10:00:00'),
  (3, 1, 'Parti', 'Luc', null, null, null, null, 0, 0, '2026-01-01 10:00:00')
""",
    (
        {
            "name": "Elm SARL",
            "email": ["a@elm.example"],
            "phoneNumber": ["+33 1"],
            "socials": ["https://elm.example"],
            "address": ["2 rue Verte, 75001, Paris"],
            "contacts": [
                {
                    "name": "Zo\u00e9",
                    "lastName": "Roux",
                    "role": "Achats",
                    "email": ["zoe@elm.example"],
                    "phoneNumber": ["+33 2"],
                }
            ],
        },
        {"name": "Prospect SA"},
    ),
)

ERPNEXT = Product(
    "erpnext",
    "mariadb",
    """
create table `tabCustomer` (name varchar(140) primary key, modified datetime(6), customer_name varchar(140),
  industry varchar(140), website varchar(140), disabled int(1) not null default 0, key modified (modified));
create table `tabContact` (name varchar(140) primary key, modified datetime(6), first_name varchar(140),
  last_name varchar(140), designation varchar(140), email_id varchar(140), phone varchar(140), mobile_no varchar(140));
create table `tabContact Email` (name varchar(140) primary key, parent varchar(140), idx int, email_id varchar(140));
create table `tabDynamic Link` (name varchar(140) primary key, modified datetime(6), parent varchar(140),
  parenttype varchar(140), link_doctype varchar(140), link_name varchar(140));
insert into `tabCustomer` values
  ('B\u00fcro Birke', '2026-01-01 10:00:00.123456', 'B\u00fcro Birke GmbH', 'Consulting', 'birke.example', 0),
  ('Off', '2026-01-01 10:00:00.123456', 'Off AG', null, null, 1);
insert into `tabContact` values
  ('Kim-B\u00fcro', '2026-01-01 10:00:00', 'Kim', 'Lang', 'Lead', 'kim@birke.example', '+49 1', null);
insert into `tabContact Email` values ('x2', 'Kim-B\u00fcro', 2, 'k.lang@birke.example'),
  ('x1', 'Kim-B\u00fcro', 1, 'kim@birke.example');
insert into `tabDynamic Link` values
  ('d1', '2026-01-01 10:00:00', 'Kim-B\u00fcro', 'Contact', 'Customer', 'B\u00fcro Birke'),
  ('d2', '2026-01-01 10:00:00', 'Kim-B\u00fcro', 'Contact', 'Supplier', 'Off')
""",
    (
        {
            "name": "B\u00fcro Birke GmbH",
            "industry": "Consulting",
            "socials": ["birke.example"],
            "contacts": [
                {
                    "name": "Kim",
                    "lastName": "Lang",
                    "role": "Lead",
                    "email": ["kim@birke.example", "k.lang@birke.example"],
                    "phoneNumber": ["+49 1"],
                }
            ],
        },
    ),
)

WOOCOMMERCE = Product(
    "shop",
    "mariadb",
    """
create table wp_users (ID bigint unsigned auto_increment primary key, user_login varchar(60), user_email varchar(100),
  user_registered datetime default '1970-01-01');
create table wp_usermeta (umeta_id bigint unsigned auto_increment primary key, user_id bigint unsigned,
  meta_key varchar(255), meta_value longtext, key user_id (user_id));
create table wp_wc_customer_lookup (customer_id bigint unsigned primary key, user_id bigint unsigned,
  username varchar(60), first_name varchar(255), last_name varchar(255), email varchar(100),
  date_last_active timestamp null, country char(2), postcode varchar(20), city varchar(100));
insert into wp_users values (1, 'root', 'root@shop.example', '2026-01-01'), (2, 'mia', 'mia@home.example', null);
insert into wp_usermeta (user_id, meta_key, meta_value) values
  (1, 'wp_capabilities', 'a:1:{s:13:"administrator";b:1;}'), (1, 'first_name', 'Root'),
  (2, 'wp_capabilities', 'a:1:{s:8:"customer";b:1;}'), (2, 'first_name', 'Mia'), (2, 'last_name', 'Moss'),
  (2, 'billing_phone', '+47 1'), (2, 'session_tokens', null);
insert into wp_wc_customer_lookup values
  (1, 2, 'mia', 'Mia', 'Moss', 'mia@home.example', '2026-01-01 10:00:00', 'NO', '0150', 'Oslo'),
  (2, null, '', 'Gus', 'Guest', 'gus@home.example', '2026-01-01 10:00:00', 'NO', '0151', 'Oslo')
""",
    (
        {"name": "Mia", "lastName": "Moss", "email": ["mia@home.example"], "phoneNumber": ["+47 1"]},
        {"name": "Gus", "lastName": "Guest", "email": ["gus@home.example"], "address": ["0151, Oslo, NO"]},
    ),
)

VTIGER = Product(
    "vtiger",
    "mariadb",
    """
create table vtiger_crmentity (crmid int primary key, setype varchar(100), modifiedtime datetime,
  deleted int(1) not null default 0);
create table vtiger_account (accountid int primary key, accountname varchar(100), industry varchar(200), employees int,
  email1 varchar(100), email2 varchar(100), website varchar(100));
create table vtiger_accountbillads (accountaddressid int primary key, bill_street varchar(250), bill_code varchar(30),
  bill_city varchar(30), bill_country varchar(30));
create table vtiger_contactdetails (contactid int primary key, accountid int, firstname varchar(40),
  lastname varchar(80), email varchar(100), title varchar(50));
insert into vtiger_crmentity values (10, 'Accounts', '2026-01-01 10:00:00', 0),
  (11, 'Accounts', '2026-01-01 10:00:00', 1), (12, 'Contacts', '2026-01-01 10:00:00', 0),
  (13, 'Contacts', '2026-01-01 10:00:00', 1), (14, 'Accounts', '2026-01-01 10:00:00', 0);
insert into vtiger_account values (10, 'Fir Foods', '--None--', 0, 'hi@fir.example', '', 'fir.example'),
  (11, 'Trash Co', 'Food', 5, null, null, null), (14, 'Yew Yarns', 'Apparel', 40, null, null, null);
insert into vtiger_accountbillads values (10, '3 High St', 'AB1', 'Leeds', 'UK');
insert into vtiger_contactdetails values (12, 10, 'Cy', 'Hay', 'cy@fir.example', 'Chef'),
  (13, 10, 'De', 'Leted', null, null)
""",
    (
        {
            "name": "Fir Foods",
            "email": ["hi@fir.example"],
            "socials": ["fir.example"],
            "address": ["3 High St, AB1, Leeds, UK"],
            "contacts": [{"name": "Cy", "lastName": "Hay", "role": "Chef", "email": ["cy@fir.example"]}],
        },
        {"name": "Yew Yarns", "industry": "Apparel", "employeeCount": 40},
    ),
)

NORTHWIND = Product(
    "northwind",
    "postgresql",
    """
create table customers (customer_id varchar(5) primary key, company_name varchar(40) not null, contact_name varchar(30),
  contact_title varchar(30), address varchar(60), city varchar(15), region varchar(15), postal_code varchar(10),
  country varchar(15), phone varchar(24), fax varchar(24));
insert into customers values
  ('LARCH', 'Larch Lamps', 'Lou La Rue', 'Owner', '4 Lamp Ln', 'Bern', null, '3000', 'Switzerland', '031-1', '031-2'),
  ('BEECH', 'Beech Books', null, null, null, null, null, null, null, null, null)
""",
    (
        {
            "name": "Larch Lamps",
            "phoneNumber": ["031-1", "031-2"],
            "address": ["4 Lamp Ln, 3000, Bern, Switzerland"],
            "contacts": [{"name": "Lou", "lastName": "La Rue", "role": "Owner"}],
        },
        {"name": "Beech Books"},
    ),
)

COMPOSITE = Product(
    "erp",
    "postgresql",
    """
create schema erp;
create table erp.kunden (mandant smallint, kundennr int, name1 varchar(60), strasse varchar(60), plz varchar(10),
  ort varchar(60), geaendert_am date, geaendert_um time, primary key (mandant, kundennr));
create table erp.ansprechpartner (mandant smallint, kundennr int, lfdnr int, name varchar(60), email varchar(100),
  primary key (mandant, kundennr, lfdnr));
insert into erp.kunden values (1, 11, 'Ahorn AG', 'Weg 1', '10115', 'Berlin', '2026-01-01', '10:00:00'),
  (11, 1, 'Zweiter Mandant AG', null, null, null, '2026-01-01', '10:00:00');
insert into erp.ansprechpartner values (1, 11, 1, 'Holz', 'holz@ahorn.example'), (11, 1, 1, 'Stein', null)
""",
    (
        {
            "name": "Ahorn AG",
            "address": ["Weg 1, 10115, Berlin"],
            "contacts": [{"lastName": "Holz", "email": ["holz@ahorn.example"]}],
        },
        {"name": "Zweiter Mandant AG", "contacts": [{"lastName": "Stein"}]},
    ),
)

PRISMA = Product(
    "app",
    "postgresql",
    """
create schema "crmData";
create table "crmData"."Customers" ("Id" uuid primary key, "CompanyName" text, "Profile" jsonb, "Tags" text[],
  "IsDeleted" boolean not null default false, "UpdatedAt" timestamptz(3) not null);
create table "crmData"."ContactPersons" ("Id" uuid primary key, "CustomerId" uuid, "First Name" text, "LastName" text,
  "Email" text, "UpdatedAt" timestamptz(3) not null);
insert into "crmData"."Customers" values
  ('6f1b4f5e-0d7c-4c0a-9d53-000000000001', 'Willow Works',
   '{"emails": ["w@willow.example", "x@willow.example"], "linkedin": "https://social.example/willow"}',
   '{new,vip}', false, '2026-01-01 10:00:00.123Z'),
  ('6f1b4f5e-0d7c-4c0a-9d53-000000000002', 'Deleted Works', null, null, true, '2026-01-01 10:00:00Z');
insert into "crmData"."ContactPersons" values
  ('6f1b4f5e-0d7c-4c0a-9d53-000000000003', '6f1b4f5e-0d7c-4c0a-9d53-000000000001', 'Ida', 'Ash', 'ida@willow.example',
   '2026-01-01 10:00:00Z')
""",
    (
        {
            "name": "Willow Works",
            "email": ["w@willow.example", "x@willow.example"],
            "socials": ["https://social.example/willow"],
            "labels": ["new", "vip"],
            "contacts": [{"name": "Ida", "lastName": "Ash", "email": ["ida@willow.example"]}],
        },
    ),
)

PRODUCTS = (ODOO, SUITECRM, DOLIBARR, ERPNEXT, WOOCOMMERCE, VTIGER, NORTHWIND, COMPOSITE, PRISMA)
