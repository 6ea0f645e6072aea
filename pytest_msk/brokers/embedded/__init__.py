"""Kafka brokers inside this process: one asyncio loop in one thread, a listening socket for each broker."""
