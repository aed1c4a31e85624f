"""Conversations: fetched as a raw file, read record by record, mended by stated rules, kept as a table."""
