"""The Hydra configuration tree, installed as the package `metalstm.configs`."""
