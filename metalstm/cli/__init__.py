"""The commands: one module each, light until the command line has been read."""
