"""Chaos: clients do everything at random while everything is struck at random, and a book says what must come of it."""
