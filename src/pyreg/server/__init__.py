"""How pyreg runs on its own: a supervisor, its workers, and the connections that they serve."""
