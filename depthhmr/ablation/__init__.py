"""Whether each part of the paper's claim earns its place: variants of the network, trained and compared."""
