"""Runs the new revisions on ephemeral databases and says what was seen."""
