"""Reading files of data: caches, downloads, folders, readers."""
