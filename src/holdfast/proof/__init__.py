"""The proof that a training survives being killed: trained twice, killed and resumed once, and compared."""
