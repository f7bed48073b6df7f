"""A session: what it remembers, how that is kept, and the process that does both."""
