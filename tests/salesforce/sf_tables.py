"""What the organisation behind the stand-in has: its objects and fields, as descriptions have them."""

from __future__ import annotations

from typing import Any


def described(name: str, type_: str = "string", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "label": more.pop("label", name),
        "type": type_,
        "filterable": True,
        "sortable": True,
        "calculated": False,
        "relationshipName": None,
        "referenceTo": [],
        **more,
    }


def reference(name: str, *to: str) -> dict[str, Any]:
    return described(name, "reference", relationshipName=name.removesuffix("Id"), referenceTo=list(to))


def picklist(name: str, **labels: str) -> dict[str, Any]:
    """Codes and what users see for them."""
    values = [{"value": code, "label": label, "active": True} for code, label in labels.items()]
    return described(name, "picklist", picklistValues=values)


NAME = {
    *("Id", "Name", "FirstName", "LastName", "NameOrAlias", "Alias", "Username", "Title", "Type"),
    *("Email", "Phone", "IsActive", "ProfileId", "RecordTypeId", "UserRoleId"),
}
"""What a query reaches of a parent that may be of several objects."""

_SYSTEM = (
    described("Id", "id"),
    described("IsDeleted", "boolean"),
    described("CreatedDate", "datetime"),
    described("LastModifiedDate", "datetime"),
    described("SystemModstamp", "datetime"),
)
FIELDS: dict[str, list[dict[str, Any]]] = {
    "Account": [
        *_SYSTEM,
        reference("MasterRecordId", "Account"),
        described("Name", label="Account Name"),
        picklist("Industry", Steel="Steel and metal", Tech="Technology"),
        described("BillingCity", label="Billing City"),
        described("BillingAddress", "address", sortable=False),
        described("Description", "textarea", filterable=False, sortable=False),
        described("NumberOfEmployees", "int"),
        described("AnnualRevenue", "currency"),
        described("Phone", "phone"),
        described("Website", "url"),
        picklist("Type", Customer="Customer", Partner="Partner firm"),
        {**picklist("Interests__c", a="Apples", b="Bees", c="Cars"), "type": "multipicklist"},
        described("Score__c", "double", calculated=True),
        reference("OwnerId", "User"),
    ],
    "Contact": [
        *_SYSTEM,
        reference("MasterRecordId", "Contact"),
        reference("AccountId", "Account"),
        described("FirstName"),
        described("LastName"),
        described("Email", "email"),
        described("Title"),
        described("Phone", "phone"),
        described("MobilePhone", "phone"),
        picklist("Level__c", L1="Primary", L2="Secondary"),
    ],
    "Lead": [
        *_SYSTEM,
        reference("MasterRecordId", "Lead"),
        described("FirstName"),
        described("LastName"),
        described("Company"),
        described("Title"),
        described("Email", "email"),
        picklist("LeadSource", Web="From the web"),
        described("IsConverted", "boolean"),
        described("ConvertedDate", "date"),
        reference("ConvertedAccountId", "Account"),
        reference("ConvertedContactId", "Contact"),
        reference("OwnerId", "User", "Group"),
    ],
    "User": [
        described("Id", "id"),
        described("SystemModstamp", "datetime"),
        described("Name"),
        described("Email"),
        described("Department"),
    ],
    "Organization": [described("Id", "id"), described("IsSandbox", "boolean"), described("OrganizationType")],
}

RECORD_TYPES = {"012dM0000000001QAA": ("Direct", "Direct sales"), "012dM0000000002QAA": ("Channel", "Through partners")}
"""Record types of accounts: developer name and label by the id."""


def typed() -> list[dict[str, Any]]:
    """The fields by which records have a type."""
    return [reference("RecordTypeId", "RecordType")]
