"""A policy for pyreg: who may pull, push, delete and list which repositories."""

from pyreg_auth_policy.options import Options
from pyreg_auth_policy.plugin import PolicyAuthorizer, PolicyPlugin
from pyreg_auth_policy.policy import Policy

__all__ = ["Options", "Policy", "PolicyAuthorizer", "PolicyPlugin"]
