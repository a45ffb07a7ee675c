"""What a person types: one module a command, light until the command line has been read."""
