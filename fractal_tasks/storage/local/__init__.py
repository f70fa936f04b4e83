"""Plates on this machine: locks, and folders replaced so that no crash tears one."""
