"""YAML → Policy, the waivers in revision files, and the judge that makes a report of both."""
