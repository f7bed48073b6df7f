"""What serves sessions from a process or a resident of its own."""
