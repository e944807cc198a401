"""The runbook: a release is carried out on a database that people depend on, step by step."""
