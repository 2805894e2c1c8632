"""The ablation of the paper's claims: variants of the network, trained and compared."""
