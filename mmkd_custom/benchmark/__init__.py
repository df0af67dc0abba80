"""Configs x tasks x seeds: which runs, running them, their tables."""
