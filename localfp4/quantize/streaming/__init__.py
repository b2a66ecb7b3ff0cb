"""A model's layers on the device one at a time: watched, rounded, saved, and run again."""
