"""Layer 2: the shells that perform what the pure machines decided."""
