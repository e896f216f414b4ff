"""Who may do what, with the policy that a registry is run with."""
