"""Scripts that disturb the tasks for minutes: `make stress` runs them."""
