"""Conversations (fetched, read record by record, mended by counted rules) and the checkpoint of the model."""
