"""The page's templates, style sheet and script: files, in a package so that they travel with it."""
