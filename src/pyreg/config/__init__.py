"""The configuration: `config.yml` and `REGISTRY_*`, read into typed options.

```python
configuration = load("config.yml", os.environ)
for warning in configuration.warnings:
    print(warning)
options = validate_options(configuration.storage.driver, FilesystemOptions)
```
"""

from pyreg.config.http import HTTP
from pyreg.config.loading import load
from pyreg.config.model import Configuration, Log, Storage, Validation
from pyreg.config.plugin_options import (
    NoOptions,
    PluginOptions,
    option_warnings,
    validate_options,
)
from pyreg.config.values import ByteSize, Duration

__all__ = [
    "HTTP",
    "ByteSize",
    "Configuration",
    "Duration",
    "Log",
    "NoOptions",
    "PluginOptions",
    "Storage",
    "Validation",
    "load",
    "option_warnings",
    "validate_options",
]
