"""Token authentication: Docker registry tokens, OpenID Connect, and a token service."""
