"""The protocol: every sentence of the specification, over real sockets."""
