"""Ways in and out: one folder for each format or protocol, the same file names in each."""
