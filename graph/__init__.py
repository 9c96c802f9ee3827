"""What is: twins and relationships in columns, the journal, snapshots, history, and queries over them."""
