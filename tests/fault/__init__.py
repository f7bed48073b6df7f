"""Real daemons, real processes, real signals: the fault matrix, cell by cell."""
