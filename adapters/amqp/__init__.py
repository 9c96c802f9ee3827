"""AMQP 0-9-1: readings from queues of RabbitMQ and its like."""
