"""Proofs on the user's own data."""
