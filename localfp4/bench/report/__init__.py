"""A run as text: tables to read, and every form that other programs take; knows no engines."""
