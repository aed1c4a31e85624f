"""What the rules compute from the configuration. No script imports it, so it reruns nothing."""
