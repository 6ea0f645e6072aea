"""Transactions: the coordinator's state of each transactional id, and the markers that end a transaction."""

from pytest_msk.brokers.embedded.transactions.coordinator import Transactions

__all__ = ["Transactions"]
