"""Other twins: peers, contracts, the joint cascade (step 4). Local sites are joined by graph/union.py."""
