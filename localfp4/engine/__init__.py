"""Requests in, tokens out: sequences, the page table, the scheduler and the loop."""
