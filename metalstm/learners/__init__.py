"""One file a learner family, one shared interface (`metalstm.learners.base`)."""
