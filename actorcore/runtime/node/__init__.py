"""The node: the pump around the pure machines."""
