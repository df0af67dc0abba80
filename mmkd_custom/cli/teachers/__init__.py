"""The commands about teachers."""
