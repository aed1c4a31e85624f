"""The model: fetched from a package, a hub or a folder, and laid down as one checkpoint in files."""
