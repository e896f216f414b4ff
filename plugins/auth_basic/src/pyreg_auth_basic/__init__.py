"""Passwords in an htpasswd file, by HTTP's Basic authentication."""

from pyreg_auth_basic.authenticator import HtpasswdAuthenticator
from pyreg_auth_basic.plugin import HtpasswdPlugin, Options, ThrottleOptions

__all__ = ["HtpasswdAuthenticator", "HtpasswdPlugin", "Options", "ThrottleOptions"]
