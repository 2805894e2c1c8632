"""Other people's labelled pictures as training shards: one reader per format, one common form, one writer.

Numpy and files only; knows nothing of torch, the network or the losses.
"""
