"""MQTT packets as bytes: names, reason codes, properties, topics."""
