"""Salesforce, read through simple-salesforce: any object, with its children, never written."""
