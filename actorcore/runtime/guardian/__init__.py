"""The guardian: process 1, the true parent of all."""
