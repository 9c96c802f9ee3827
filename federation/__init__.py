"""Other twins: peers, contracts, the joint cascade. Built in a later step; the union of local sites is graph/union.py."""
