"""The documentation is true: its examples run, its tables and links are complete."""
