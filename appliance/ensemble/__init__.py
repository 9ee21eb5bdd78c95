"""Several sources of time compared with our clock: who agrees, who is odd, what the ensemble says."""
