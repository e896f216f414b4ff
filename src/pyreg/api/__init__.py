"""HTTP: the endpoints of the OCI distribution specification, one file for each kind."""
