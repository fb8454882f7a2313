"""Builds the pages and the card of a final model."""
