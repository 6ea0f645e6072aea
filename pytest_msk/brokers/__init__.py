"""The data plane: what runs Kafka brokers."""
