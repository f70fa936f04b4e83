"""The list of tasks and the manifest generated from it."""
