"""Groups of consumers: who is in them, what they have committed, and the coordinators that see to both."""
