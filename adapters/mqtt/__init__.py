"""Live telemetry by MQTT 3.1.1 and 5 (paho)."""
