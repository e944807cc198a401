"""GitHub's side of a run: event → plan, finished texts → outputs, summary, comment."""
