"""A registry inside somebody else's application."""
