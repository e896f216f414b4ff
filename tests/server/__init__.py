"""Tests of how pyreg runs on its own."""
