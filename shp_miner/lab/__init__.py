"""The lab: what every rule is worth, where the truth is known (simulated forums) and where it is not (a store)."""
