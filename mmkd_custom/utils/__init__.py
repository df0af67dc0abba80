"""Files, progress, compatibility."""
