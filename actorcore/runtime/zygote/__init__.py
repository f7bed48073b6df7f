"""The zygotes, and the first moments of what they fork."""
