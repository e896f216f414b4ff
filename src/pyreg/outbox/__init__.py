"""Durable events: from the intent before a write to the delivery of its event.

```
write      ->  Intents   a record on stable storage, before anything becomes visible
commit     ->  Intents   a mark that it was committed, before the client hears of it
after that ->  Queues    the record comes to the queue of each sink that wants it
delivery   ->  Dispatcher  one process at a time empties a sink's queue
crash      ->  Adopter   another process goes through the intents of a dead one
```

Everything lies in the registry's own storage; see `pyreg.outbox.places`.
"""

from pyreg.outbox.outbox import Outbox

__all__ = ["Outbox"]
