"""The Kafka protocol: messages, their encoding, record batches, and a small client."""
