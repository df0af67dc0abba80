"""What runs are worth: their results, a report, and the floor of both."""
