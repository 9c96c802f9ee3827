"""What each verb of the command line does; `api.cli` declares them and imports these when they are asked for."""
