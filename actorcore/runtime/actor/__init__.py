"""The actor process: what a process runs its code in."""
