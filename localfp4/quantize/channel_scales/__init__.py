"""Channel scales: columns of weights are multiplied by what their inputs are divided by.

The division is folded into what computes the input: a norm, the rows of another projection. Nothing
changes in exact arithmetic; what is rounded afterwards has other numbers. AWQ (arXiv:2306.00978)
searches the scales that round a matrix best, SmoothQuant (arXiv:2211.10438) computes those that move
half of the inputs' outliers, on a logarithmic scale, into the weights.
"""
