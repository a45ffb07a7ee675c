"""A person's own data: a folder of images, recordings, texts or tables."""
