"""A release: what a tag adds since the previous one, rehearsed, planned and carried out."""
