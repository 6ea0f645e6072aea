"""Brokers in containers of the official apache/kafka image."""
