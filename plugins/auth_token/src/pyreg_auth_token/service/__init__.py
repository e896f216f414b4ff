"""A token service for those who have none: it issues what the registry then verifies."""
