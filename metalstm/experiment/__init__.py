"""Settings become a run: built, trained, resumed, restored, tested again and adapted."""
