"""Settings: their schema, what they may be together, and how they are composed, read and quoted."""
