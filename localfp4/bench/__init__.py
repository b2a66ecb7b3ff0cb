"""How fast an engine is: workloads, measurement and reports; knows engines, not their insides."""
