"""What would be: cascades over a snapshot, explained and priced."""
