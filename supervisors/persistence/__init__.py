"""Persistence: what of a session outlives its process, the daemon and the machine's power, and who may read and write it."""
