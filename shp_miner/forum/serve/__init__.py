"""The simulated forum over loopback, in the platforms' own APIs.

A platform is one class with a name and a way to answer a request; the server, its log and its misbehaviour know none.
"""
