"""What each verb of the command line does; `api.cli` declares them and imports these on demand."""
