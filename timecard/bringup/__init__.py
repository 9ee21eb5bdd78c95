"""Bringing a card up: an intent file, the delay ledger, and the steps that make the card what it says."""
