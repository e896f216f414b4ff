"""Real servers for the tests, each private to a directory and bound to 127.0.0.1 only.

By hand: `python -m tests.servers docker-registry /tmp/r` keeps one running until Ctrl-C.
"""
