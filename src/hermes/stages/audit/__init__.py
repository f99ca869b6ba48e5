"""Audits of strategies: proofs by construction, and tests on the user's own data."""
