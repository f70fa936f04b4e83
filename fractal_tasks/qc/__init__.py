"""Is this estimate believable? Pure code."""
