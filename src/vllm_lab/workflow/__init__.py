"""What the rules of the workflow compute from the configuration. No script imports it, so it reruns nothing."""
