"""Plugins: which class has a name, which instances take part, and in which order.

stevedore answers "which class has this name" from the entry-point groups below, the
configuration says which of them are made, and pluggy calls the instances. An installed package
that the configuration does not name is never imported.

A plugin is a class named by an entry point:

```python
@dataclass(frozen=True)
class Options:                       # anything that pydantic can validate
    rootdirectory: str = "/var/lib/registry"


class FilesystemPlugin:
    api_version = (1, 0)             # the version of `pyreg.hooks` that it was written for
    Options = Options                # None for a plugin without options

    def __init__(self, options: Options) -> None: ...

    @hookimpl
    def pyreg_storage(self) -> StorageDriver: ...
```
"""
