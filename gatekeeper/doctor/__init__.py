"""What in this environment would stop the main job, looked at one thing after the other.

Nothing is judged by the policy here: these are the grounds on which a check stands, and the
user's own database where it is named.
"""
