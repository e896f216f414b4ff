"""The contract for plugin authors. A plugin imports this, `pyreg.errors` and `pyreg.testing`."""

from pyreg.errors import Refused
from pyreg.hooks.auth import (
    ANONYMOUS,
    Access,
    AccessControl,
    Authenticator,
    Authorizer,
    AuthRequest,
    Decision,
    Identity,
    InvalidCredentials,
)
from pyreg.hooks.durations import parse_duration
from pyreg.hooks.encryption import Encryption, FileChannel
from pyreg.hooks.events import (
    DeliveryFailed,
    Descriptor,
    Event,
    EventSink,
    Operation,
    RequestInfo,
    Subscription,
)
from pyreg.hooks.metrics import Metric
from pyreg.hooks.spec import API_VERSION, ASGIApp, HookSpecs, Invocation, hookimpl
from pyreg.hooks.storage import (
    ABSENT,
    ANY,
    Capabilities,
    Condition,
    Entry,
    FileSpan,
    Match,
    ObjectInfo,
    Page,
    Reader,
    StorageDriver,
    StoredObject,
)

__all__ = [
    "ABSENT",
    "ANONYMOUS",
    "ANY",
    "API_VERSION",
    "ASGIApp",
    "Access",
    "AccessControl",
    "AuthRequest",
    "Authenticator",
    "Authorizer",
    "Capabilities",
    "Condition",
    "Decision",
    "DeliveryFailed",
    "Descriptor",
    "Encryption",
    "Entry",
    "Event",
    "EventSink",
    "FileChannel",
    "FileSpan",
    "HookSpecs",
    "Identity",
    "InvalidCredentials",
    "Invocation",
    "Match",
    "Metric",
    "ObjectInfo",
    "Operation",
    "Page",
    "Reader",
    "Refused",
    "RequestInfo",
    "StorageDriver",
    "StoredObject",
    "Subscription",
    "hookimpl",
    "parse_duration",
]
