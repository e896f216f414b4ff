"""The tests of pyreg's core, and of the whole thing with real clients."""
