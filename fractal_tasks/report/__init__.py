"""Figures and pages about a registered plate."""
