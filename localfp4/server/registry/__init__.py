"""The servers that run on this computer: who they are, and asking them to end; stdlib only."""
