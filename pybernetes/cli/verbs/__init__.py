"""What each word of the command line does: one module per verb, each exporting `COMMAND`."""
