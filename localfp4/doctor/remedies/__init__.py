"""Commands that mend things, for each system and each way this program was installed."""
