"""Kafka: readings from topics, events to topics. The client is an extra: `pip install 'twinmesh[kafka]'`."""
