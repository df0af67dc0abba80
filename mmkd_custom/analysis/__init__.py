"""Pictures of what a run sees and learns."""
