"""The terms of the training loss: one file for each part of the network that they teach."""
