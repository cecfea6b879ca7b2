"""The lab: how good every rule's labels are, on simulated forums (known truth) and on a store (unknown truth)."""
