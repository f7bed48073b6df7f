"""Tests: each is a sentence with a promise."""
