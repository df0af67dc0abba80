"""What is fitted to a frozen teacher: probes and adaptations."""
