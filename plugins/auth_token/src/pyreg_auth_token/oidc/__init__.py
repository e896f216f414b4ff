"""Access with the ID tokens of CI systems (OpenID Connect), without a stored password."""
