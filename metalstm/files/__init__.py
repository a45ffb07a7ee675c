"""Files: paths, writing that is whole or not there, bounded reading, and ownership."""
