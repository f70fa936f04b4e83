"""Plates in an object store, by fsspec. Imported for remote urls only."""
