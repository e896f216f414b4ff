"""The test kit for plugin authors, tested on plugins of its own."""
