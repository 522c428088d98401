"""HubSpot as a source: CRM objects with their associated records, read through the CRM API, never written."""
