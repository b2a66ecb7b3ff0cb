"""Products with stored weights, ``y = x W^T``, per weight format and activation width."""
